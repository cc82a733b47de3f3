import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { schema } from '../../src/config/schema.ts'
import { root } from '../support/paths.ts'

export const valuesSchemaFile = join(root, 'helm', 'values.schema.json')

const text = z.string()
const anything = z.unknown()
const object = z.record(z.string(), anything)
const list = z.array(object)
const strings = z.record(z.string(), z.string())
const port = z.int().min(1).max(65_535)
const name = z.string().regex(/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/)

/** All but what the image and the chart decide. */
const config = schema.omit({ listen: true, adminListen: true, dataDir: true })

const values = z
  .strictObject({
    kind: z.enum(['StatefulSet', 'DaemonSet']),
    replicas: z.int().min(0),
    image: z.strictObject({
      repository: text.min(1),
      tag: text,
      digest: z.string().regex(/^(sha256:[0-9a-f]{64})?$/),
      pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
    }),
    imagePullSecrets: list,
    fullnameOverride: text,
    config,
    existingSecrets: z.array(name),
    persistence: z.strictObject({ size: text, storageClass: text }),
    hostPath: z.string().startsWith('/'),
    hostPort: z.strictObject({ ip: text, port }),
    service: z.strictObject({
      type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer']),
      port,
      nodePort: port.nullable(),
      clusterIP: text,
      externalTrafficPolicy: z.enum(['', 'Cluster', 'Local']),
      loadBalancerClass: text,
      loadBalancerSourceRanges: z.array(text),
      annotations: strings,
    }),
    resources: object,
    podSecurityContext: object,
    securityContext: object,
    updateStrategy: object,
    podAnnotations: strings,
    podLabels: strings,
    nodeSelector: strings,
    tolerations: list,
    affinity: object,
    topologySpreadConstraints: list,
    priorityClassName: text,
    extraEnv: list,
    extraVolumes: list,
    extraVolumeMounts: list,
    serviceAccount: z.strictObject({ create: z.boolean(), name: text, annotations: strings }),
    networkPolicy: z.strictObject({ enabled: z.boolean(), clients: list, monitoring: list, egress: list }),
    serviceMonitor: z.strictObject({ enabled: z.boolean(), interval: text, labels: strings }),
    prometheusRule: z.strictObject({ enabled: z.boolean(), labels: strings }),
    grafanaDashboard: z.strictObject({ enabled: z.boolean(), labels: strings }),
    nodeConfiguration: z.strictObject({
      enabled: z.boolean(),
      directory: z.string().startsWith('/'),
      registries: z.array(z.string().regex(/^[a-z0-9.-]+(:\d{1,5})?$/)).min(1),
      priorityClassName: text,
      nodeSelector: strings,
      tolerations: list,
    }),
    global: anything, // Helm adds it
  })
  .partial()

type Json = { [key: string]: unknown; properties?: Record<string, Json>; anyOf?: Json[] }

/** The schema of the chart's values, in which `config` follows the schema of the configuration. */
export function valuesSchema(): string {
  const json = z.toJSONSchema(values, {
    io: 'input',
    target: 'draft-7', // what Helm reads in all its versions
    unrepresentable: 'any',
    override: ({ jsonSchema }) => adapt(jsonSchema as Json),
  })
  return `${JSON.stringify(json, null, 2)}\n`
}

function adapt(json: Json): void {
  // A password in the configuration would stand in a ConfigMap.
  if (json.anyOf) json.anyOf = json.anyOf.filter(({ properties }) => !properties?.password)
  // zod has it as a Map, for its order.
  if (json.properties?.tagTtl) {
    const ttl = { type: ['string', 'number'] }
    json.properties.tagTtl.anyOf = [ttl, { type: 'object', additionalProperties: ttl }]
  }
}

if (import.meta.main) writeFileSync(valuesSchemaFile, valuesSchema())
