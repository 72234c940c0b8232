{{/* The roles, by the section of the values: name on the command line, port, variables' prefix, and
whether there is one yet. */}}
{{- define "coord.roles" -}}
rootCoordinator: {name: rootcoord, port: 53100, prefix: ROOT_COORD, here: true}
dataCoordinator: {name: datacoord, port: 13333, prefix: DATA_COORD, here: false}
indexCoordinator: {name: indexcoord, port: 31000, prefix: INDEX_COORD, here: false}
queryCoordinator: {name: querycoord, port: 19531, prefix: QUERY_COORD, here: false}
{{- end -}}

{{- define "coord.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "coord.matchLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "coord.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "coord.matchLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "coord.serviceAccount" -}}
{{- $made := ternary (include "coord.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $made .Values.serviceAccount.name -}}
{{- end -}}

{{- define "coord.configMap" -}}
{{- default (include "coord.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{/* Ends the rendering when a role cannot be had as the values ask for it. */}}
{{- define "coord.check" -}}
{{- range $section, $role := include "coord.roles" . | fromYaml -}}
{{- $asked := index $.Values $section -}}
{{- if and $asked.enabled (not $role.here) -}}
{{- fail (printf "%s.enabled: this version has no %s yet; leave it to Milvus' own chart" $section $role.name) -}}
{{- end -}}
{{- $pair := ($asked.activeStandby | default dict).enabled -}}
{{- if and $asked.enabled (not $pair) (gt (int $asked.replicas) 1) -}}
{{- fail (printf "%s.replicas is %d, %s.activeStandby.enabled is false: You can set the number of replicas greater than 1 only if you also need to set activeStandby.enabled to true." $section (int $asked.replicas) $section) -}}
{{- end -}}
{{- end -}}
{{- end -}}
