{{- /* The image, by digest or by tag. */ -}}
{{- define "podlan.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* Where kubelet asks for the agent's health: on the node itself, where the agent listens on every address. */ -}}
{{- define "podlan.health" -}}
{{- $host := regexReplaceAll ":[0-9]+$" .Values.listen "" | trimPrefix "[" | trimSuffix "]" }}
{{- $port := regexFind "[0-9]+$" .Values.listen }}
{{- if eq $host "0.0.0.0" }}{{ $host = "127.0.0.1" }}{{ else if eq $host "::" }}{{ $host = "::1" }}{{ end -}}
host: {{ $host | quote }}, port: {{ $port }}
{{- end }}

{{- /* The options of `podlan-node run` after those that every installation has. */ -}}
{{- define "podlan.options" -}}
{{- if .Values.masquerade.enabled }}
- --masquerade
{{- range .Values.masquerade.exclude }}
- --no-masquerade-to={{ . }}
{{- end }}
{{- end }}
{{- range .Values.chain }}
- --chain={{ . }}
{{- end }}
{{- with .Values.probes }}
{{- if not .enabled }}
- --probe=off
{{- else }}
{{- if ne (int .port) 10111 }}
- --probe-port={{ .port }}
{{- end }}
{{- if ne (int .rate) 200 }}
- --probe-rate={{ .rate }}
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . }}
{{- end }}
{{- end }}
