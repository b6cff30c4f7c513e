{{/* One name for everything: two operators in one cluster would act against each other. */}}
{{- define "ippolicy.name" -}}
ippolicy-operator
{{- end }}

{{- define "ippolicy.selector" -}}
app.kubernetes.io/name: {{ include "ippolicy.name" . }}
{{- end }}

{{- define "ippolicy.labels" -}}
{{ include "ippolicy.selector" . }}
app.kubernetes.io/part-of: ippolicy-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The labels with more of them, which win; takes the root and the others. */}}
{{- define "ippolicy.labelsWith" -}}
{{- toYaml (merge (deepCopy (index . 1)) (include "ippolicy.labels" (index . 0) | fromYaml)) }}
{{- end }}

{{- define "ippolicy.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "ippolicy.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ toYaml .Values.serviceAccount.name }}
    namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Port of /metrics, /healthz and /readyz: a setting of the operator, with its default there. */}}
{{- define "ippolicy.port" -}}
{{ .Values.settings.httpPort | default 8080 }}
{{- end }}

{{/* Name of all that belongs to the webhook: its Service, its certificates, its rights. */}}
{{- define "ippolicy.webhook" -}}
{{ include "ippolicy.name" . }}-webhook
{{- end }}

{{/* Annotations of the pods; those of the values win. */}}
{{- define "ippolicy.podAnnotations" -}}
{{- $own := dict "kubectl.kubernetes.io/default-container" "operator" }}
{{- if not (or .Values.serviceMonitor.enabled .Values.podMonitor.enabled) }}
{{- $_ := set $own "prometheus.io/scrape" "true" }}
{{- $_ := set $own "prometheus.io/port" (include "ippolicy.port" .) }}
{{- $_ := set $own "prometheus.io/path" "/metrics" }}
{{- end }}
{{- toYaml (merge (deepCopy .Values.podAnnotations) $own) }}
{{- end }}

{{- define "ippolicy.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "ippolicy.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* What ServiceMonitor and PodMonitor have in common; takes the values of one of them. */}}
{{- define "ippolicy.scraping" -}}
- port: http
  path: /metrics
  interval: {{ .interval }}
  scrapeTimeout: {{ .scrapeTimeout }}
{{- end }}

{{/* Egress to a list of CIDRs; takes `cidrs` and `port`. */}}
{{- define "ippolicy.egress" -}}
- to:
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    - protocol: TCP
      port: {{ .port }}
{{- end }}
