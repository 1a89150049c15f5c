/** Manifests in the shape of Cilium's releases, written for the tests: what is in them and how, not their text. */

/** Of 1.2: `extensions/v1beta1` without a selector, RBAC `v1beta1`, arguments, docker's socket, an etcd of the user's, probes of one second. */
export const of12 = `apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data:
  etcd-config: |-
    ---
    endpoints:
    - http://etcd.example:2379
  debug: "false"
  clean-cilium-state: "false"
---
kind: DaemonSet
apiVersion: extensions/v1beta1
metadata: {name: cilium, namespace: kube-system}
spec:
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 2}}
  templateGeneration: 1
  template:
    metadata:
      labels: {k8s-app: cilium, kubernetes.io/cluster-service: "true"}
    spec:
      serviceAccountName: cilium
      initContainers:
      - name: clean-cilium-state
        image: registry.example/library/busybox:1.28.4
        command: [sh, -c, 'if [ "\${CLEAN_CILIUM_STATE}" = "true" ]; then rm -rf /var/run/cilium/state; fi']
        volumeMounts: [{name: cilium-run, mountPath: /var/run/cilium}]
      containers:
      - name: cilium-agent
        image: registry.example/cilium/cilium:v1.2.5
        imagePullPolicy: Always
        command: [cilium-agent]
        args: ["--debug=$(CILIUM_DEBUG)", "-t=vxlan", "--kvstore=etcd", "--kvstore-opt=etcd.config=/var/lib/etcd-config/etcd.config"]
        lifecycle:
          postStart: {exec: {command: [/cni-install.sh]}}
          preStop: {exec: {command: [/cni-uninstall.sh]}}
        env:
        - {name: K8S_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        - {name: CILIUM_DEBUG, valueFrom: {configMapKeyRef: {name: cilium-config, key: debug}}}
        livenessProbe: {exec: {command: [cilium, status]}, initialDelaySeconds: 120, failureThreshold: 10, periodSeconds: 10}
        readinessProbe: {exec: {command: [cilium, status]}, initialDelaySeconds: 5, periodSeconds: 5}
        securityContext: {privileged: true, capabilities: {add: [NET_ADMIN]}}
        volumeMounts:
        - {name: bpf-maps, mountPath: /sys/fs/bpf}
        - {name: cilium-run, mountPath: /var/run/cilium}
        - {name: cni-path, mountPath: /host/opt/cni/bin}
        - {name: etc-cni-netd, mountPath: /host/etc/cni/net.d}
        - {name: docker-socket, mountPath: /var/run/docker.sock, readOnly: true}
        - {name: etcd-config-path, mountPath: /var/lib/etcd-config, readOnly: true}
      hostNetwork: true
      volumes:
      - {name: cilium-run, hostPath: {path: /var/run/cilium}}
      - {name: bpf-maps, hostPath: {path: /sys/fs/bpf}}
      - {name: docker-socket, hostPath: {path: /var/run/docker.sock, type: Socket}}
      - {name: cni-path, hostPath: {path: /opt/cni/bin}}
      - {name: etc-cni-netd, hostPath: {path: /etc/cni/net.d}}
      - {name: etcd-config-path, configMap: {name: cilium-config, items: [{key: etcd-config, path: etcd.config}]}}
      restartPolicy: Always
      tolerations:
      - {effect: NoSchedule, key: node-role.kubernetes.io/master}
---
kind: ClusterRoleBinding
apiVersion: rbac.authorization.k8s.io/v1beta1
metadata: {name: cilium}
roleRef: {kind: ClusterRole, name: cilium}
subjects:
- {kind: ServiceAccount, name: cilium, namespace: kube-system}
- {kind: Group, name: system:nodes}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cilium, namespace: kube-system}
`

/** Of 1.14: options in the ConfigMap, an init container that makes one of it, an operator, Hubble beside it. */
export const of114 = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: cilium-config, namespace: kube-system}
  data: {identity-allocation-mode: crd, monitor-aggregation: medium, tunnel: vxlan, ipam: cluster-pool, kube-proxy-replacement: "false"}
- apiVersion: apps/v1
  kind: DaemonSet
  metadata: {name: cilium, namespace: kube-system}
  spec:
    selector: {matchLabels: {k8s-app: cilium}}
    template:
      metadata: {labels: {k8s-app: cilium, app.kubernetes.io/name: cilium-agent}}
      spec:
        hostNetwork: true
        tolerations: [{operator: Exists}]
        initContainers:
        - {name: config, image: "registry.example/cilium/cilium:v1.14.2@sha256:0123", command: [cilium, build-config]}
        containers:
        - name: cilium-agent
          image: registry.example/cilium/cilium:v1.14.2@sha256:0123
          command: [cilium-agent]
          args: [--config-dir=/tmp/cilium/config-map]
          startupProbe: {httpGet: {host: 127.0.0.1, path: /healthz, port: 9879}, failureThreshold: 105, periodSeconds: 2}
          readinessProbe: {httpGet: {host: 127.0.0.1, path: /healthz, port: 9879}, periodSeconds: 30}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: cilium-operator, namespace: kube-system}
  spec:
    selector: {matchLabels: {name: cilium-operator}}
    template:
      metadata: {labels: {name: cilium-operator}}
      spec: {hostNetwork: true, containers: [{name: cilium-operator, image: "registry.example/cilium/operator-generic:v1.14.2"}]}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: hubble-relay, namespace: kube-system}
  spec:
    selector: {matchLabels: {k8s-app: hubble-relay}}
    template:
      metadata: {labels: {k8s-app: hubble-relay}}
      spec: {containers: [{name: hubble-relay, image: "registry.example/cilium/hubble-relay:v1.14.2"}]}
`
