{{- define "ottla.name" -}}
{{- if contains "ottla" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}-operator
{{- else -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" }}-ottla-operator
{{- end -}}
{{- end }}

{{- define "ottla.selector" -}}
app.kubernetes.io/name: ottla-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ottla.labels" -}}
{{ include "ottla.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "ottla.image" -}}
{{ .Values.image.repository }}{{ include "ottla.version" (list .Values.image .Chart) }}
{{- end }}

{{- define "ottla.brokerImage" -}}
{{ .Values.brokerImage.repository }}{{ include "ottla.version" (list .Values.brokerImage .Chart) }}
{{- end }}

{{- /* Which one of an image's versions. */ -}}
{{- define "ottla.version" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
@{{ $image.digest }}
{{- else -}}
:{{ $image.tag | default (index . 1).AppVersion }}
{{- end -}}
{{- end }}

{{- /* What the operator does to objects in the namespaces that it looks after. */ -}}
{{- define "ottla.rules" -}}
- apiGroups: [ottla.io]
  resources: [kafkaclusters]
  verbs: [get, list, watch]
- apiGroups: [ottla.io]
  resources: [kafkatopics, kafkausers, kafkarebalances]
  verbs: [get, list, watch, patch]
- apiGroups: [ottla.io]
  resources: [kafkaclusters/status, kafkatopics/status, kafkausers/status, kafkarebalances/status]
  verbs: [get, patch]
- apiGroups: [ottla.io]
  resources: [kafkaclusters/finalizers, kafkausers/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
# those of clusters with certificates and of users, by their names: none is listed or watched
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
# one is deleted where somebody asks by an annotation for another in its place
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
# of listeners of type Ingress and TLSRoute
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [tlsroutes]
  verbs: [get, list, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# why a broker's pod was not made, or does not start
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end }}
