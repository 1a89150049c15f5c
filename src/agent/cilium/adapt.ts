import type { V1Container, V1EnvVar, V1PodSpec, V1Probe } from '@kubernetes/client-node'
import { KernelbedError, usageError } from '../../core/errors.ts'
import { fullRef } from '../../image/index.ts'
import type { AgentEtcd } from '../../cluster/index.ts'
import { configMapIn, giveEtcd } from '../etcd-access.ts'
import type { KubeObject } from '../manifests.ts'
import type { AgentOptionValues } from './settings.ts'
import { atLeast, type CiliumVersion } from './version.ts'

/** Where the cluster is, for agents on nodes without a kube-proxy. */
export interface Site { readonly nodeApi: { readonly host: string; readonly port: number }; /** Nodes reach a registry: what is in no tar is pulled. */ readonly pulls: boolean }

/** A Cilium found in manifests. */
export interface Found {
  readonly daemonSet: KubeObject
  readonly pod: V1PodSpec
  readonly container: V1Container
  readonly labels: Readonly<Record<string, string>>
}

interface Workload { spec: { template: { metadata: { labels?: Record<string, string> }; spec: V1PodSpec }; selector?: { matchLabels?: Record<string, string> } } }

const podOf = (object: KubeObject): V1PodSpec | undefined => (object.kind === 'Pod' ? (object['spec'] as V1PodSpec) : (object as unknown as Partial<Workload>).spec?.template?.spec)

const isAgent = ({ name, command = [], image = '' }: V1Container): boolean => name === 'cilium-agent' || command.some((word) => /(^|\/)cilium-agent$/.test(word)) || /\/cilium(-dev|-ci)?[:@]/.test(image)

/** Where nodes have it; `/var/run` leads to `/run`. */
const containerdSocket = /^(\/var)?\/run\/containerd\/containerd\.sock$/

/** The agent's DaemonSet. Throws a usage error when there is none, or more than one. */
export function findAgent(objects: readonly KubeObject[]): Found {
  const found = objects.filter(({ kind }) => kind === 'DaemonSet').flatMap((daemonSet): Found[] => {
    const { template, selector } = (daemonSet as unknown as Workload).spec
    const container = template.spec.containers.find(({ name }) => name === 'cilium-agent') ?? template.spec.containers.find(isAgent)
    return container ? [{ daemonSet, pod: template.spec, container, labels: selector?.matchLabels ?? template.metadata.labels ?? {} }] : []
  })
  if (found.length === 0) throw usageError('--agent-manifests: no DaemonSet with a container of cilium-agent', 'give the whole of it: ConfigMap, RBAC and DaemonSet, in one file or a folder')
  if (found.length > 1) throw usageError(`--agent-manifests: more than one DaemonSet of cilium-agent: ${found.map(({ daemonSet }) => daemonSet.metadata.name).join(', ')}`, 'give one of the files: examples/kubernetes/1.11/cilium.yaml is the whole of it, those beside it are its parts and variants')
  return found[0]!
}

/** The objects of one Cilium, changed in place. Notes say what, for people. */
export class Adapted {
  readonly objects: KubeObject[]
  readonly notes: string[] = []
  readonly #found: Found
  readonly #version: CiliumVersion

  constructor(objects: readonly KubeObject[], version: CiliumVersion) {
    this.objects = structuredClone(objects) as KubeObject[]
    this.#found = findAgent(this.objects)
    this.#version = version
  }

  get namespace(): string {
    return this.#found.daemonSet.metadata.namespace ?? 'default'
  }

  /** Label selector of its pods. */
  get selector(): string {
    return Object.entries(this.#found.labels).map(([key, value]) => `${key}=${value}`).join(',')
  }

  get container(): string {
    return this.#found.container.name
  }

  /** Sets options of cilium-agent: in its ConfigMap where it reads its options from there (1.6 and later), else as arguments, which win over variables. */
  setOptions(values: AgentOptionValues): void {
    const { container } = this.#found
    const read = (container.args ?? []).some((arg) => arg.startsWith('--config-dir'))
    for (const [name, value] of Object.entries(values)) {
      if (read) this.#setConfig(name, value)
      else setArgument(container, name, value)
    }
  }

  #setConfig(name: string, value: string | undefined): void {
    const map = configMapIn(this.objects)
    const { [name]: _, ...others } = (map['data'] ?? {}) as Record<string, string>
    map['data'] = value === undefined ? others : { ...others, [name]: value }
    // An argument of the same name would win.
    setArgument(this.#found.container, name, undefined)
  }

  /** Lets agents reach an etcd, for their identities. */
  setEtcd(etcd: AgentEtcd): void {
    giveEtcd(this.objects, this.#found, etcd)
  }

  /** Takes out what looks after an etcd of the manifests' own. */
  leaveOutOwnEtcd(): void {
    for (const object of this.objects.filter(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'cilium-etcd-operator')) {
      this.notes.push(`Deployment ${object.metadata.name} is left out: identities are kept in another etcd`)
      this.objects.splice(this.objects.indexOf(object), 1)
    }
  }

  /** What any Cilium needs on nodes of ours: there is no kube-proxy, no docker, no registry, and an emulated processor is slow. */
  fit(site: Site, images: readonly string[]): void {
    if (!site.pulls) this.#leaveOutUnreachable(images)
    for (const object of this.objects) {
      const pod = podOf(object)
      if (!pod) continue
      for (const container of [...(pod.initContainers ?? []), ...pod.containers]) this.#fitContainer(container, pod, site, images)
    }
    const { pod, container } = this.#found
    // Nodes are not Ready, and tainted, until the agent runs.
    if (!pod.tolerations?.some(({ operator, key, effect }) => operator === 'Exists' && !key && !effect)) (pod.tolerations ??= []).push({ operator: 'Exists' })
    for (const probe of [container.readinessProbe, container.livenessProbe, container.startupProbe]) slow(probe)
    if (container.livenessProbe) container.livenessProbe.initialDelaySeconds = Math.max(600, container.livenessProbe.initialDelaySeconds ?? 0)
    this.#fitRuntime(pod, container)
  }

  /** Pods that use the network of the node, or run before there is another, can't reach the API server by its cluster IP. */
  #fitContainer(container: V1Container, pod: V1PodSpec, { nodeApi }: Site, images: readonly string[]): void {
    if (pod.hostNetwork) setVariables(container, { KUBERNETES_SERVICE_HOST: nodeApi.host, KUBERNETES_SERVICE_PORT: String(nodeApi.port) })
    const given = images.find((ref) => ref === fullRef(container.image ?? ''))
    if (given !== undefined) Object.assign(container, { image: given, imagePullPolicy: 'IfNotPresent' })
  }

  /** Kubernetes fails a pod whose socket of docker is not there, and a Cilium before 1.8 asks the container runtime for the labels of pods. */
  #fitRuntime(pod: V1PodSpec, container: V1Container): void {
    const sockets = (pod.volumes ?? []).filter(({ hostPath }) => hostPath && (hostPath.type === 'Socket' || /\.sock$|^\/(var\/)?run\/crio/.test(hostPath.path)) && !containerdSocket.test(hostPath.path))
    for (const { name, hostPath } of sockets) {
      this.notes.push(`the volume ${name} (${hostPath?.path}) is left out: nodes have containerd`)
      for (const each of [...(pod.initContainers ?? []), ...pod.containers]) each.volumeMounts = each.volumeMounts?.filter((mount) => mount.name !== name) ?? []
    }
    pod.volumes = (pod.volumes ?? []).filter((volume) => !sockets.includes(volume))
    const socket = '/var/run/containerd/containerd.sock'
    if (!atLeast(this.#version, '1.1') || atLeast(this.#version, '1.8') || container.volumeMounts?.some(({ mountPath }) => containerdSocket.test(mountPath))) return
    pod.volumes.push({ name: 'containerd-socket', hostPath: { path: '/run/containerd/containerd.sock', type: 'Socket' } })
    ;(container.volumeMounts ??= []).push({ name: 'containerd-socket', mountPath: socket, readOnly: true })
  }

  /**
   * Nodes without a way to a registry start only what their images are there for. What can be done without is left out with a note: cleaning up on a machine that is new, and what
   * runs beside the agent. Throws for what is needed.
   */
  #leaveOutUnreachable(images: readonly string[]): void {
    const there = ({ image = '' }: V1Container): boolean => images.includes(fullRef(image))
    const { pod } = this.#found
    for (const each of pod.initContainers ?? []) {
      if (there(each) || each.name !== 'clean-cilium-state') continue
      this.notes.push(`the init container ${each.name} is left out: its image ${each.image} is in no tar, and there is nothing to clean on a new machine`)
      pod.initContainers = pod.initContainers?.filter((other) => other !== each) ?? []
    }
    const dispensable = this.objects.filter((object) => object !== this.#found.daemonSet && podOf(object) && !this.#isNeeded(object) && podOf(object)!.containers.some((each) => !there(each)))
    for (const object of dispensable) {
      this.notes.push(`${object.kind} ${object.metadata.name} is left out: its image ${podOf(object)!.containers.find((each) => !there(each))?.image} is in no tar`)
      this.objects.splice(this.objects.indexOf(object), 1)
    }
    const missing = new Set(this.objects.flatMap((object) => [...(podOf(object)?.initContainers ?? []), ...(podOf(object)?.containers ?? [])]).filter((each) => !there(each)).map(({ image = '(none)' }) => image))
    if (missing.size) {
      throw new KernelbedError(`the manifests need ${[...missing].join(', ')}, which ${missing.size > 1 ? 'are' : 'is'} in no tar; the machines have no way to a registry`, {
        blame: 'usage', hint: `docker save ${[...missing][0]} -o image.tar, and give --agent-image image.tar for each; where nodes can pull: --agent-option images=pull`,
      })
    }
  }

  /** From 1.8 on the operator registers what agents wait for. */
  #isNeeded({ metadata }: KubeObject): boolean {
    return metadata.name === 'cilium-operator' && atLeast(this.#version, '1.8')
  }
}

/** One-letter names that Cilium has for options. */
const short: Readonly<Record<string, string>> = { tunnel: 't', 'tunnel-protocol': 't' }

/** `--name=value` and `-n=value`, or both in words of their own. */
function setArgument(container: V1Container, name: string, value: string | undefined): void {
  const spellings = [`--${name}`, ...(name in short ? [`-${short[name]}`] : [])]
  const args = container.args ?? []
  const alone = (arg: string | undefined): boolean => spellings.includes(arg ?? '')
  const others = args.filter((arg, i) => !alone(arg) && !spellings.some((spelling) => arg.startsWith(`${spelling}=`)) && !(alone(args[i - 1]) && !arg.startsWith('-')))
  container.args = value === undefined ? others : [...others, `--${name}=${value}`]
}

function setVariables(container: V1Container, values: Readonly<Record<string, string>>): void {
  const others: V1EnvVar[] = (container.env ?? []).filter(({ name }) => !(name in values))
  container.env = [...others, ...Object.entries(values).map(([name, value]) => ({ name, value }))]
}

/** `cilium status` takes seconds on an emulated processor, too much of it to be run every five, and Kubernetes 1.20 began to hold probes to their one second. */
function slow(probe: V1Probe | undefined): void {
  if (!probe) return
  if (probe.exec) probe.periodSeconds = Math.max(15, probe.periodSeconds ?? 10)
  probe.timeoutSeconds = Math.max(30, probe.timeoutSeconds ?? 1)
  probe.failureThreshold = Math.max(10, probe.failureThreshold ?? 3)
}
