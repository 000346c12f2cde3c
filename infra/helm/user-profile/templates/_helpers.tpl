{{- define "up.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "up.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "up.labels" -}}
app.kubernetes.io/name: user-profile
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "up.selector" -}}
app.kubernetes.io/name: user-profile
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Variables: (dict "root" $ "settings" of the role) */}}
{{- define "up.env" -}}
{{- range $name := list "PROFILE_KAFKA_BROKERS" "PROFILE_REDIS_NODES" "PROFILE_CONNECT_URL" }}
{{- if not (hasKey $.root.Values.settings $name) }}{{ fail (printf "settings.%s is not set: where is it in this cluster?" $name) }}{{ end }}
{{- end }}
env:
  - {name: PROFILE_WEB_HOST, value: "0.0.0.0"}
  - {name: PROFILE_WEB_ALLOW_NON_LOOPBACK, value: "true"}  {{/* keys are asked for all the same */}}
  - {name: PROFILE_LOG_FORMAT, value: json}
  - {name: PROFILE_APP_ID, value: {{ .root.Values.appId | quote }}}
  - {name: PROFILE_TOPIC_PREFIX, value: {{ .root.Values.topicPrefix | quote }}}
  {{- range $name, $value := merge (dict) .settings .root.Values.settings }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
  {{- range .root.Values.secretEnv }}
  - name: {{ .name }}
    valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
  {{- end }}
{{- with .root.Values.existingSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "up.container-security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "up.mounts" -}}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- range .Values.secretFiles }}
  - {name: {{ .secret }}, mountPath: {{ .path }}, readOnly: true}
  {{- end }}
{{- end }}

{{- define "up.pod" -}}
serviceAccountName: {{ include "up.name" . }}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- range .Values.secretFiles }}
  - name: {{ .secret }}
    secret: {secretName: {{ .secret }}, defaultMode: 0440}
  {{- end }}
{{- end }}
