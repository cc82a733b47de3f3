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

{{/* The configuration as a file. The first pattern of tagTtl that matches counts, so the most particular stand first. */}}
{{- define "cistern.config" -}}
{{- with omit .Values.config "rules" }}
{{- toYaml . }}
{{- end }}
{{- with .Values.config.rules }}
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

{{- define "cistern.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "cistern.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Where nodes reach the cache, as variables of node-configuration.mts. */}}
{{- define "cistern.mirror" -}}
{{- if eq .Values.kind "DaemonSet" -}}
- { name: MIRROR_HOST, value: {{ .Values.hostPort.ip | quote }} }
- { name: MIRROR_PORT, value: {{ .Values.hostPort.port | quote }} }
{{- else if and (eq .Values.service.type "NodePort") .Values.service.nodePort -}}
- name: MIRROR_HOST
  valueFrom: { fieldRef: { fieldPath: status.hostIP } }
- { name: MIRROR_PORT, value: {{ .Values.service.nodePort | quote }} }
{{- else -}}
{{- fail "nodeConfiguration needs kind DaemonSet, or service.type NodePort with a service.nodePort" -}}
{{- end -}}
{{- end -}}
