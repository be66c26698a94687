{{- define "gateway.name" -}}
{{- .Values.nameOverride | default "gateway" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else if contains (include "gateway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gateway.name" .) | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "gateway.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The configuration that is asked for. Its default is no value, because Helm would mix the two. */}}
{{- define "gateway.given" -}}
{{- if .Values.config -}}
{{- toYaml .Values.config -}}
{{- else -}}
keys: {file: /var/lib/gateway/keys}
backends:
  disk: {type: local, path: /var/lib/gateway/objects}
{{- end -}}
{{- end -}}

{{/* config.yaml: what the values say, and what only the chart knows. A sidecar serves its own pod and nobody else. */}}
{{- define "gateway.config" -}}
{{- $sidecar := eq .Values.kind "Sidecar" -}}
{{- $own := dict "listen" (ternary "127.0.0.1:9000" ":9000" $sidecar) "admin" ":9001" "drain" (printf "%ds" (int .Values.drainSeconds)) -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $own "tls" (dict "certificate" "/etc/gateway-tls/tls.crt" "key" "/etc/gateway-tls/tls.key") -}}
{{- end -}}
{{- range $key := keys $own -}}
{{- if hasKey $.Values.config $key -}}
{{- fail (printf "config.%s is set by the chart: use drainSeconds, tls.existingSecret and service.port" $key) -}}
{{- end -}}
{{- end -}}
{{- toYaml (merge $own (include "gateway.given" . | fromYaml)) -}}
{{- end -}}

{{/*
What a pod that runs cannot take, as gateway/config/fixed.py has it: where it listens, the database, and where the
copies of a replicated bucket are.
*/}}
{{- define "gateway.fixed" -}}
{{- $config := include "gateway.config" . | fromYaml -}}
{{- $fixed := pick $config "listen" "admin" "tls" "workers" "state" -}}
{{- range $name, $bucket := $config.buckets -}}
{{- if or $bucket.fallback $bucket.mirrors -}}
{{- $_ := set $fixed "replication" $config.replication -}}
{{- $_ := set $fixed "backends" $config.backends -}}
{{- $_ := set $fixed "buckets" $config.buckets -}}
{{- end -}}
{{- end -}}
{{- toYaml $fixed -}}
{{- end -}}

{{/* The backends that keep objects in the pod itself, which no other replica sees. */}}
{{- define "gateway.own" -}}
{{- range $name, $backend := (include "gateway.given" . | fromYaml).backends -}}
{{- if has $backend.type (list "local" "memory") }} {{ $name }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* What would lose objects, or show one client what another does not see, is refused. */}}
{{- define "gateway.refuse" -}}
{{- $own := include "gateway.own" . | trim -}}
{{- $many := or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}
{{- if and $own $many -}}
{{- fail (printf "more than one replica needs backends that all of them share, but these are in the pod: %s" $own) -}}
{{- end -}}
{{- if and (eq .Values.kind "StatefulSet") .Values.autoscaling.enabled -}}
{{- fail "autoscaling is for kind: Deployment" -}}
{{- end -}}
{{- $volume := and .Values.persistence.enabled (or .Values.persistence.existingClaim (eq .Values.kind "StatefulSet")) -}}
{{- range $name, $backend := (include "gateway.given" . | fromYaml).backends -}}
{{- if and (eq $backend.type "local") (not $volume) -}}
{{- fail (printf "backend %s keeps objects on a disk that is gone with the pod: use kind: StatefulSet or persistence.existingClaim" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gateway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The container, but for what tells a sidecar from a pod of its own. */}}
{{- define "gateway.container" -}}
name: gateway
image: {{ include "gateway.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/gateway/config.yaml]
{{- with .Values.env }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.envFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
resources: {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: gateway-config, mountPath: /etc/gateway, readOnly: true}
  - {name: gateway-data, mountPath: /var/lib/gateway}
  - {name: gateway-tmp, mountPath: /tmp}
  {{- if .Values.tls.existingSecret }}
  - {name: gateway-tls, mountPath: /etc/gateway-tls, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "gateway.volumes" -}}
- name: gateway-config
  configMap: {name: {{ include "gateway.fullname" . }}}
- name: gateway-tmp
  emptyDir: {sizeLimit: {{ .Values.tmp.sizeLimit }}}
{{- if .Values.persistence.existingClaim }}
- name: gateway-data
  persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim }}}
{{- else if not (and .Values.persistence.enabled (eq .Values.kind "StatefulSet")) }}
- name: gateway-data
  emptyDir: {sizeLimit: 64Mi}
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: gateway-tls
  secret: {secretName: {{ . }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
