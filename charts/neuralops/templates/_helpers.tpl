{{/* Names, labels and what is asked in more than one place. */}}

{{- define "neuralops.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What the operator's own objects are called: roles, account, workload, Lease. */}}
{{- define "neuralops.controller" -}}
{{ include "neuralops.fullname" . }}-controller
{{- end -}}

{{- define "neuralops.account" -}}
{{- default (include "neuralops.controller" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "neuralops.lease" -}}
{{- default (include "neuralops.controller" .) .Values.config.leaseName -}}
{{- end -}}

{{/* What never changes while a release lives. */}}
{{- define "neuralops.selector" -}}
app.kubernetes.io/name: neuralops
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Of every object; those of the pods do not say which chart they are from, or each release would exchange them. */}}
{{- define "neuralops.labels" -}}
{{- $own := dict "app.kubernetes.io/name" "neuralops" "app.kubernetes.io/part-of" "neuralops"
  "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $own (default (dict) .Values.commonLabels)) -}}
{{- end -}}

{{/* metadata of an object of this release: dict root, name; and labels, annotations, component, namespace
     where they differ; cluster where there is no namespace. */}}
{{- define "neuralops.metadata" -}}
{{- $root := .root -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ default $root.Release.Namespace .namespace }}
{{- end }}
labels:
  {{- $own := merge (include "neuralops.labels" $root | fromYaml) (default (dict) .labels) }}
  {{- if .component }}{{ $_ := set $own "app.kubernetes.io/component" .component }}{{ end }}
  {{- toYaml $own | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) (default (dict) $root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The objects of one file of files/, which are those of config/ and crds/ to the letter, comments included; only labels,
     annotations and names become this release's. dict root, text, and keep or annotations. */}}
{{- define "neuralops.shipped" -}}
{{- $root := .root -}}
{{- $annotations := merge (dict) (default (dict) .annotations) (default (dict) $root.Values.commonAnnotations) -}}
{{- if .keep }}{{ $_ := set $annotations "helm.sh/resource-policy" "keep" }}{{ end -}}
{{- $was := "  labels:\n    app.kubernetes.io/name: neuralops\n    app.kubernetes.io/part-of: neuralops\n" -}}
{{- $is := "" -}}
{{- if $annotations }}{{ $is = printf "  annotations:%s\n" (toYaml $annotations | nindent 4) }}{{ end -}}
{{- $is = printf "%s  labels:%s\n" $is (include "neuralops.labels" $root | nindent 4) -}}
{{- .text | replace $was $is | trimSuffix "\n" -}}
{{- end -}}

{{/* The same for what the operator may do: dict root, text. */}}
{{- define "neuralops.rights" -}}
{{- $root := .root -}}
{{- $text := .text
  | replace "- kind: ServiceAccount\n  name: neuralops-controller\n" "- kind: ServiceAccount\n  name: (account)\n"
  | replace "resourceNames: [neuralops-controller]" "resourceNames: [(lease)]"
  | replace "resourceNames: [neuralops-audit-keys]" (printf "resourceNames: [%s]" $root.Values.config.auditKeys)
  | replace "name: neuralops-controller" (printf "name: %s" (include "neuralops.controller" $root))
  | replace "namespace: neuralops-system" (printf "namespace: %s" $root.Release.Namespace)
  | replace "(account)" (include "neuralops.account" $root)
  | replace "(lease)" (include "neuralops.lease" $root) -}}
{{- include "neuralops.shipped" (dict "root" $root "text" $text "keep" false) -}}
{{- end -}}

{{- define "neuralops.repository" -}}
{{- with .Values.image }}
{{- $repository := required "image.repository is empty: name the repository of the image" .repository }}
{{- ternary $repository (printf "%s/%s" .registry $repository) (empty .registry) }}
{{- end -}}
{{- end -}}

{{- define "neuralops.image" -}}
{{- $repository := include "neuralops.repository" . -}}
{{- with .Values.image.digest -}}
{{ $repository }}@{{ . }}
{{- else -}}
{{ $repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* Not empty where `helm test` has something to run. It needs rights in the whole cluster. */}}
{{- define "neuralops.tested" -}}
{{- if and .Values.helmTest.enabled .Values.operator.enabled .Values.clusterScope.enabled }}yes{{ end -}}
{{- end -}}

{{/* Not empty with PostgreSQL. */}}
{{- define "neuralops.postgres" -}}
{{- default "" .Values.store.postgres.existingSecret -}}
{{- end -}}

{{- define "neuralops.replicas" -}}
{{- $postgres := include "neuralops.postgres" . -}}
{{- $replicas := ternary (ternary 2 1 (ne $postgres "")) .Values.replicas (kindIs "invalid" .Values.replicas) | int -}}
{{- if and (gt $replicas 1) (eq $postgres "") -}}
{{- fail (printf "replicas is %d, but the embedded store has room for one: set store.postgres.existingSecret, or leave replicas out" $replicas) -}}
{{- end -}}
{{- $replicas -}}
{{- end -}}

{{/* The port of an address: what is behind the last colon, since an IPv6 address has several. */}}
{{- define "neuralops.port" -}}
{{- .Values.config.probeAddress | splitList ":" | last -}}
{{- end -}}

{{/* The variables of the container: the chart's own, each replaced by one of extraEnv that has its name; of those with one
     name the last counts. Server-side apply refuses two of one name. */}}
{{- define "neuralops.env" -}}
{{- $env := list (dict "name" "NEURALOPS_CONFIG" "value" "/etc/neuralops/operator.yaml") -}}
{{- with include "neuralops.postgres" . -}}
{{- $reference := dict "name" . "key" $.Values.store.postgres.key -}}
{{- $env = append $env (dict "name" "NEURALOPS_STORE" "valueFrom" (dict "secretKeyRef" $reference)) -}}
{{- end -}}
{{- $last := dict -}}
{{- range concat $env (default list .Values.extraEnv) }}{{ $_ := set $last .name . }}{{ end -}}
{{- $merged := list -}}
{{- $seen := dict -}}
{{- range concat $env (default list .Values.extraEnv) -}}
{{- if not (hasKey $seen .name) }}{{ $merged = append $merged (get $last .name) }}{{ end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- toYaml $merged -}}
{{- end -}}

{{/* Name of the Secret with the certificate; empty where there is none. */}}
{{- define "neuralops.tls" -}}
{{- with .Values.tls -}}
{{- if eq .mode "cert-manager" -}}
{{- if not (default dict .certManager.issuerRef).name }}{{ fail "tls.mode is cert-manager: name who signs the certificate in tls.certManager.issuerRef" }}{{ end -}}
{{- default (printf "%s-tls" (include "neuralops.fullname" $)) .secretName -}}
{{- else if eq .mode "secret" -}}
{{- required "tls.mode is secret: name the Secret in tls.secretName" .secretName -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How the port is asked. */}}
{{- define "neuralops.scheme" -}}
{{- ternary "HTTP" "HTTPS" (eq .Values.tls.mode "none") -}}
{{- end -}}

{{/* A duration, such as 1m30s, in milliseconds. */}}
{{- define "neuralops.milliseconds" -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(ms|[hms])" . -1 -}}
{{- $unit := regexFind "[hms]+$" . -}}
{{- $total = add $total (mul (trimSuffix $unit . | atoi) (get (dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1) $unit)) -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{/* Seconds from SIGTERM to SIGKILL. */}}
{{- define "neuralops.grace" -}}
{{- $asked := .Values.config.shutdownGrace | default "20s" -}}
{{- $least := div (add (include "neuralops.milliseconds" $asked | int) 999) 1000 | int -}}
{{- $seconds := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $seconds -}}
{{- add $least 10 -}}
{{- else if lt ($seconds | int) $least -}}
{{- fail (printf "terminationGracePeriodSeconds is %v, but config.shutdownGrace lets passes go on for %s: leave terminationGracePeriodSeconds out, or raise it" $seconds $asked) -}}
{{- else -}}
{{- $seconds -}}
{{- end -}}
{{- end -}}

{{/* The configuration file: config, and what follows from other values. */}}
{{- define "neuralops.config" -}}
{{- range $key := list "leaseDuration" "prometheusTimeout" "livenessTimeout" "shutdownGrace" -}}
{{- with index $.Values.config $key -}}
{{- $milliseconds := include "neuralops.milliseconds" . | int -}}
{{- if or (lt $milliseconds 3000) (gt $milliseconds 3600000) }}{{ fail (printf "config.%s is %s, which is out of range: 3s to 1h" $key .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $step := .Values.config.stepImage -}}
{{- if and (not $step) .Values.image.digest }}{{ $step = printf "%s@%s" (include "neuralops.repository" .) .Values.image.digest }}{{ end -}}
{{- $derived := dict "namespace" .Release.Namespace "leaseName" (include "neuralops.lease" .) "stepImage" $step
  "watchNamespaces" .Values.watchNamespaces "metricsAuth" .Values.metrics.auth
  "tlsSelfSigned" (eq .Values.tls.mode "self-signed") "tlsCert" "" "tlsKey" "" -}}
{{- with include "neuralops.tls" . -}}
{{- $derived = mergeOverwrite $derived (dict "tlsCert" "/etc/neuralops-tls/tls.crt" "tlsKey" "/etc/neuralops-tls/tls.key") -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $derived) -}}
{{- end -}}

{{/* What a ServiceMonitor and a PodMonitor say of an endpoint alike: dict root, tlsConfig. */}}
{{- define "neuralops.scraped" -}}
{{- $root := .root -}}
path: /metrics
{{- if ne $root.Values.tls.mode "none" }}
scheme: https
tlsConfig:
  {{- if .tlsConfig }}
  {{- toYaml .tlsConfig | nindent 2 }}
  {{- else if eq $root.Values.tls.mode "self-signed" }}
  insecureSkipVerify: true
  {{- else }}
  serverName: {{ include "neuralops.fullname" $root }}-metrics.{{ $root.Release.Namespace }}.svc
  ca:
    secret:
      name: {{ include "neuralops.tls" $root }}
      key: ca.crt
  {{- end }}
{{- end }}
{{- end -}}
