{{/*
A gateway in the pod of another chart, which depends on this one with kind: Sidecar:

  spec:
    initContainers:
      {{- include "gateway.sidecar" .Subcharts.gateway | nindent 6 }}
    volumes:
      {{- include "gateway.sidecarVolumes" .Subcharts.gateway | nindent 6 }}

As an init container that is always restarted it listens before the application starts, and ends after it has ended:
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
It has no readiness probe: whether the application can do without its storage for a while is for the application to say.
*/}}
{{- define "gateway.sidecar" -}}
{{- include "gateway.refuse" . -}}
- {{ include "gateway.container" . | nindent 2 | trim }}
  restartPolicy: Always
  ports:
    - {name: admin, containerPort: 9001}
  startupProbe:
    exec: {command: [python, -Ic, "import socket; socket.create_connection(('127.0.0.1', 9000), 4)"]}
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 60
{{- end -}}

{{- define "gateway.sidecarVolumes" -}}
{{- include "gateway.volumes" . -}}
{{- end -}}
