{{- define "cistern.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cistern.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cistern.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "cistern.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "cistern.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cistern.perNode" -}}
{{- if eq .Values.kind "DaemonSet" }}true{{ end -}}
{{- end -}}

{{/* More than one pod answers for the service, each with a cache, keys and tokens of its own. */}}
{{- define "cistern.several" -}}
{{- if or (include "cistern.perNode" .) (gt (int .Values.replicas) 1) }}true{{ end -}}
{{- end -}}

{{- define "cistern.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "cistern.fullname" .) -}}
{{- end -}}

{{/* How clients reach the cache, unless config.publicUrl says otherwise. */}}
{{- define "cistern.url" -}}
{{- $scheme := ternary "https" "http" (hasKey .Values.config "tls") -}}
{{- $service := printf "%s.%s.svc:%d" (include "cistern.fullname" .) .Release.Namespace (int .Values.service.port) -}}
{{- with .Values.hostPort -}}
{{- $ip := ternary (printf "[%s]" .ip) .ip (contains ":" .ip) -}}
{{- $node := printf "%s:%d" $ip (int .port) -}}
{{- $scheme }}://{{ ternary $node $service (and (eq $.Values.kind "DaemonSet") (not (has .ip (list "" "0.0.0.0" "::")))) -}}
{{- end -}}
{{- end -}}

{{/* Fails where the pods could not start, or would lack a file. */}}
{{- define "cistern.check" -}}
{{- if not (or .Values.config.tls .Values.config.allowPlainHttp) -}}
{{- fail "config needs tls, or allowPlainHttp: true where something else encrypts" -}}
{{- end -}}
{{- $mounted := .Values.existingSecrets -}}
{{- range .Values.extraVolumeMounts -}}
{{- $mounted = append $mounted (regexReplaceAll "^/run/secrets/([^/]+).*" .mountPath "${1}") -}}
{{- end -}}
{{- range regexFindAll "/run/secrets/[^/\\s\"',]+" (toYaml .Values.config) -1 -}}
{{- if not (has (trimPrefix "/run/secrets/" .) $mounted) -}}
{{- fail (printf "config names a file in %s, which no entry of existingSecrets puts there" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Time to stop in: what answers under way have, what is done before and after. */}}
{{- define "cistern.graceSeconds" -}}
{{- $drain := dig "timeouts" "drain" "30s" .Values.config | toString -}}
{{- $seconds := get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 "" 0.0) (regexFind "[a-z]*$" $drain) -}}
{{- add 15 (ceil (mulf (regexFind "^[0-9.]+" $drain | float64) $seconds)) -}}
{{- end -}}

{{/*
The configuration as a file. The first pattern of tagTtl that matches counts, so the most particular stand first. On a
node's own disk more stays free than what kubelet evicts pods for, which is up to 15 %. Connections by TLS take up to
90 KiB each, for which pods of the usual size have not the memory ten thousand times.
*/}}
{{- define "cistern.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $config = mergeOverwrite (dict "publicUrl" (include "cistern.url" .)) $config -}}
{{- if include "cistern.perNode" . -}}
{{- $config = mergeOverwrite (dict "cache" (dict "minFree" "20%")) $config -}}
{{- end -}}
{{- if $config.tls -}}
{{- $config = mergeOverwrite (dict "limits" (dict "connections" 3000)) $config -}}
{{- end -}}
{{- with omit $config "rules" }}
{{- toYaml . }}
{{- end }}
{{- with $config.rules }}
rules:
{{- range . }}
  -
{{- omit . "tagTtl" | toYaml | nindent 4 }}
{{- if kindIs "map" .tagTtl }}
    tagTtl:
{{- $ttls := .tagTtl }}
{{- $longestFirst := list }}
{{- range $pattern, $_ := $ttls }}
{{- $longestFirst = append $longestFirst (printf "%04d %s" (sub 9999 (len $pattern)) $pattern) }}
{{- end }}
{{- range sortAlpha $longestFirst }}
{{- $pattern := substr 5 -1 . }}
      {{ $pattern | quote }}: {{ get $ttls $pattern | quote }}
{{- end }}
{{- else if hasKey . "tagTtl" }}
    tagTtl: {{ .tagTtl | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where nodes reach the cache, as variables of node-configuration.mts. */}}
{{- define "cistern.mirror" -}}
{{- if include "cistern.perNode" . -}}
- { name: MIRROR_HOST, value: {{ .Values.hostPort.ip | quote }} }
- { name: MIRROR_PORT, value: {{ .Values.hostPort.port | quote }} }
{{- else if and (eq .Values.service.type "NodePort") .Values.service.nodePort -}}
- name: MIRROR_HOST
  valueFrom: { fieldRef: { fieldPath: status.hostIP } }
- { name: MIRROR_PORT, value: {{ .Values.service.nodePort | quote }} }
{{- else if .Values.service.clusterIP -}}
- { name: MIRROR_HOST, value: {{ .Values.service.clusterIP | quote }} }
- { name: MIRROR_PORT, value: {{ .Values.service.port | quote }} }
{{- else -}}
{{- fail "nodeConfiguration needs kind DaemonSet, service.type NodePort with a service.nodePort, or a service.clusterIP" -}}
{{- end -}}
{{- end -}}
