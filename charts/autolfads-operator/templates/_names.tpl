{{/* Names, labels and the parts that several pods have in common. */}}

{{- define "autolfads.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* 50: what is made of it has up to 13 characters more, of the 63 that a name may have. */}}
{{- define "autolfads.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* By what a pod of one component is selected; takes (list . "operator"). */}}
{{- define "autolfads.selector" -}}
app.kubernetes.io/name: {{ include "autolfads.name" (first .) }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{- define "autolfads.labels" -}}
{{ include "autolfads.selector" . }}
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (first .).Chart.Name (first .).Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "autolfads.serviceAccountName" -}}
{{- default (ternary (include "autolfads.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* Takes (list . image). */}}
{{- define "autolfads.image" -}}
{{- $image := last . -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (first .).Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Namespaces in which something is made for runs: those named, else those watched, else our own. */}}
{{- define "autolfads.namespacesOfRuns" -}}
{{- $named := last . -}}
{{- $context := first . -}}
{{- toJson (default (list $context.Release.Namespace) (default $context.Values.watchNamespaces $named)) -}}
{{- end -}}

{{/* Settings of the operator and of the drain; without files. Whatever is given in `settings` is a field of OperatorSettings. */}}
{{- define "autolfads.env" -}}
{{- if and .Values.gke.managePools (not .Values.gke.cluster) -}}
{{- fail "gke.managePools: wanted gke.cluster with it, found none; set it to projects/PROJECT/locations/LOCATION/clusters/CLUSTER" -}}
{{- end -}}
{{- if and .Values.gke.managePools .Values.watchNamespaces (not .Values.gke.installId) -}}
{{- fail "gke.managePools: wanted gke.installId with it, since with watchNamespaces the operator may not read the uid of kube-system; set it to a name of your own for this installation" -}}
{{- end -}}
- name: HOME
  value: /tmp
- name: AUTOLFADS_LEASE_NAME
  value: {{ include "autolfads.fullname" . | quote }}
- name: AUTOLFADS_LEASE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: AUTOLFADS_HEALTH_PORT
  value: "8080"
- name: AUTOLFADS_WORKER_IMAGE
  value: {{ include "autolfads.image" (list . .Values.worker.image) | quote }}
{{- with .Values.watchNamespaces }}
- name: AUTOLFADS_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.worker.serviceAccount.name }}
- name: AUTOLFADS_WORKER_SERVICE_ACCOUNT
  value: {{ . | quote }}
{{- end }}
{{- if .Values.gke.managePools }}
- name: AUTOLFADS_CLUSTER
  value: {{ .Values.gke.cluster | quote }}
{{- end }}
{{- with .Values.gke.installId }}
- name: AUTOLFADS_INSTALL_ID
  value: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: AUTOLFADS_{{ snakecase $name | upper }}
  value: {{ (kindIs "map" $value | ternary (toJson $value) (toString $value)) | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What every pod of ours is: nobody, without capabilities, with nothing to write to but /tmp. */}}
{{- define "autolfads.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "autolfads.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a pod of ours goes. */}}
{{- define "autolfads.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end -}}
