import { kubernetesMinor, type AgentEtcd, type ClusterHandle } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import { checkGivenTar, fullRef, readGivenTar, type GivenTar } from '../image/index.ts'
import type { Kubernetes } from '../image/types.ts'
import { Adapted, findAgent } from './cilium/adapt.ts'
import { assertKubernetes, memoryMiB, patienceOf } from './cilium/needs.ts'
import { optionsOf, type CiliumSettings } from './cilium/settings.ts'
import { atLeast, parseVersion, parseVersionOutput, type CiliumVersion } from './cilium/version.ts'
import { ciliumDumps, ciliumFatal, ciliumMonitorTypes } from './cilium-log.ts'
import type { AgentDriver, AgentOptions, InstallPlan } from './driver.ts'
import { configMapIn, etcdOf } from './etcd-access.ts'
import { checkManifests, manifestsText, readManifests, type KubeObject } from './manifests.ts'
import { served } from './served.ts'

/** Upstream Cilium of any version, from its own manifests and images; docs/agents.md. */
export const cilium: AgentDriver = {
  name: 'cilium',
  takes: ['manifests', 'images'],
  memoryMiB,
  options: {
    version: { description: 'what runs, where neither its image nor its manifests say: 1.2.5' },
    tunnel: { description: 'how packets travel between nodes', values: ['vxlan', 'geneve', 'disabled'] },
    enforcement: { description: 'which pods are denied what no policy allows', values: ['default', 'always', 'never'] },
    kvstore: { description: 'where identities are kept; manifests: as they have it', values: ['etcd', 'crd', 'manifests'] },
    'kube-proxy-replacement': { description: 'services by BPF for nodes too, from 1.6 on', values: ['true', 'false'] },
    images: { description: 'what is in no tar: pulled by nodes that have a way to a registry', values: ['tars', 'pull'] },
    'container-runtime': { description: 'who tells a Cilium before 1.8 the labels of pods', values: ['containerd', 'auto', 'none'] },
  },
  // What versions until 1.4 say; later ones want a newer kernel.
  refusal: {
    fatal: /level=fatal msg="kernel version: NOT OK: minimal supported kernel version is >= (?<minimal>[\d.]+); kernel version that is running is: (?<running>[\d.]+)/,
    minimal: '4.8.0', exitCode: 1,
  },
  check: ({ manifests = [], images = [] }) => {
    if (manifests.length === 0) throw usageError('--agent cilium needs its manifests', '--agent-manifests FILE|DIR|URL: those of its release (examples/kubernetes/…/cilium.yaml, install/kubernetes/quick-install.yaml), or what helm template prints')
    checkManifests(manifests)
    for (const path of images) checkGivenTar(path)
  },
  find: (options) => ({ handle: handleOf(found, assumed(options), wantedOf(assumed(options), options)), ask: async (run) => askCilium(run, options) }),
  prepareImages: async (ctx, options, kubernetes) => {
    // What can't be installed should be said before machines start.
    await adaptBefore(ctx, options, kubernetes)
    return tarsOf(options, ctx)
  },
  needsEtcd: async (ctx, options, kubernetes) => (await adaptBefore(ctx, options, kubernetes)).wanted.kvstore === 'etcd',
  plan: async (cluster, ctx, options) => {
    const { version, wanted, adapted } = adapt(await readManifests(options.manifests ?? [], ctx.signal), await tarsOf(options, ctx), options, kubernetesMinor(cluster.version), { nodeApi: cluster.nodeApi, etcd: () => etcdOf(cluster) })
    const handle = (exact: CiliumVersion): InstallPlan['handle'] => handleOf(adapted, exact, wanted)
    return {
      manifests: manifestsText(adapted.objects), handle: handle(version), notes: adapted.notes,
      refine: async (exec) => handle(parseVersionOutput(await exec(['version'])) ?? version),
    }
  },
}

const read = new WeakMap<AgentOptions, Promise<GivenTar[]>>()

/** Once for the options of a run: each tar is gone through whole, and each hook needs them. */
function tarsOf(options: AgentOptions, ctx: Context): Promise<GivenTar[]> {
  const tars = read.get(options) ?? Promise.all((options.images ?? []).map((path) => readGivenTar(path, ctx)))
  read.set(options, tars)
  return tars
}

type Wanted = Omit<CiliumSettings, 'kvstore'> & { readonly kvstore: CiliumSettings['kvstore'] | 'manifests' }
interface Place { readonly nodeApi: ClusterHandle['nodeApi']; /** Asked for only where the manifests need one; absent before there is a cluster. */ readonly etcd?: () => AgentEtcd }

/** As far as that can be done before there is a cluster. */
const adaptBefore = async (ctx: Context, options: AgentOptions, { version }: Kubernetes): Promise<ReturnType<typeof adapt>> =>
  adapt(await readManifests(options.manifests ?? [], ctx.signal), await tarsOf(options, ctx), options, kubernetesMinor(version), { nodeApi: { host: 'unknown', port: 0 } })

/** The user's manifests as they go onto a cluster at a place; pure. Throws usage errors. */
export function adapt(objects: readonly KubeObject[], given: readonly Pick<GivenTar, 'images'>[], options: AgentOptions, minor: number, { nodeApi, etcd }: Place): { version: CiliumVersion; wanted: Wanted; adapted: Adapted } {
  const now = served(objects, minor)
  const image = findAgent(now.objects).container.image ?? ''
  const refs = given.flatMap(({ images }) => images.flatMap((each) => each.refs))
  const own = refs.includes(fullRef(image)) ? undefined : onlyCilium(refs)
  const version = versionOf(own ?? image, given, options)
  assertKubernetes(version, minor)
  const wanted = wantedOf(version, options)
  const adapted = new Adapted(own === undefined ? now.objects : withImage(now.objects, image, own), version)
  adapted.notes.push(...now.notes, ...(own === undefined ? [] : [`the manifests have ${image}, the tar ${own}: this one is used`]))
  adapted.setOptions(optionsOf(version, { ...wanted, kvstore: wanted.kvstore === 'etcd' ? 'etcd' : 'crd' }, wanted.kvstore === 'manifests'))
  adapted.fit({ nodeApi, pulls: options.settings?.['images'] === 'pull' }, refs)
  if (wanted.kvstore === 'etcd') {
    configMapIn(adapted.objects)
    adapted.leaveOutOwnEtcd()
    if (etcd) adapted.setEtcd(etcd())
  }
  return { version, wanted, adapted }
}

/** An image of Cilium that there is no doubt about, where the manifests name another (`latest`, a branch, a digest). */
function onlyCilium(refs: readonly string[]): string | undefined {
  const found = refs.filter((ref) => /\/cilium(-dev|-ci)?[:@]/.test(ref))
  return found.length === 1 ? found[0] : undefined
}

const withImage = (objects: readonly KubeObject[], from: string, to: string): KubeObject[] => JSON.parse(JSON.stringify(objects), (key: string, value: unknown) => (key === 'image' && value === from ? to : value)) as KubeObject[]

function versionOf(image: string, given: readonly Pick<GivenTar, 'images'>[], { settings = {} }: AgentOptions): CiliumVersion {
  const labels = given.flatMap(({ images }) => images).find(({ refs }) => refs.includes(fullRef(image)))?.labels
  const asked = settings['version']
  const found = asked === undefined ? (parseVersion(/:([^/@]+)(@.*)?$/.exec(image)?.[1] ?? '') ?? parseVersion(labels?.['org.opencontainers.image.version'] ?? '')) : parseVersion(asked)
  if (!found) throw usageError(asked === undefined ? `the version of ${image || 'the agent'} is not in its name` : `--agent-option version=${asked}: no version`, 'say which it is: --agent-option version=1.14.2')
  if (!atLeast(found, '1.0')) throw usageError(`Cilium ${found.text} is older than 1.0`, 'give 1.0 or later')
  return found
}

function wantedOf(version: CiliumVersion, { settings = {} }: AgentOptions): Wanted {
  const crd = atLeast(version, '1.6')
  const kvstore = (settings['kvstore'] ?? (crd ? 'crd' : 'etcd')) as Wanted['kvstore']
  if (kvstore === 'crd' && !crd) throw usageError(`--agent-option kvstore=crd: Cilium ${version.text} keeps identities in a kvstore only; 1.6 was the first to keep them in Kubernetes`, 'leave it out: it gets an etcd')
  const replacement = settings['kube-proxy-replacement'] as CiliumSettings['kubeProxyReplacement']
  if (replacement === 'true' && !crd) throw usageError(`--agent-option kube-proxy-replacement: Cilium ${version.text} cannot; 1.6 was the first`, 'leave it out: pods reach services without')
  return {
    tunnel: (settings['tunnel'] ?? 'vxlan') as Wanted['tunnel'], enforcement: (settings['enforcement'] ?? 'default') as Wanted['enforcement'],
    containerRuntime: (settings['container-runtime'] ?? 'containerd') as Wanted['containerRuntime'], kvstore, ...(replacement === undefined ? {} : { kubeProxyReplacement: replacement }),
  }
}

/** Where every installer has put it since 1.0; its namespace is sometimes another (--agent-namespace). */
const found = { namespace: 'kube-system', selector: 'k8s-app=cilium', container: 'cilium-agent' }

/** Until it is asked. */
const assumed = ({ settings = {} }: AgentOptions): CiliumVersion => parseVersion(settings['version'] ?? '') ?? parseVersion('1.14.0')!

/** Version, tunnel and enforcement of a running Cilium: from its command line, and from its configuration, which 1.6 and later mount as a folder. Options say what cannot be had. */
export async function askCilium(run: (argv: readonly string[]) => Promise<string | undefined>, options: AgentOptions): Promise<InstallPlan['handle']> {
  const printed = (await run(['cilium-dbg', 'version'])) ?? (await run(['cilium', 'version'])) ?? ''
  const version = parseVersionOutput(printed) ?? parseVersion(options.settings?.['version'] ?? '')
  if (!version) throw new KernelbedError('the agent does not say which Cilium it is', { blame: 'agent', details: printed, hint: 'say which it is: --agent-option version=1.14.2' })
  const words = ((await run(['cat', '/proc/1/cmdline'])) ?? '').split('\0')
  const argument = (name: string): string | undefined => words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? (words.includes(`--${name}`) ? words[words.indexOf(`--${name}`) + 1] : undefined)
  const option = async (name: string): Promise<string | undefined> => argument(name) ?? (await run(['cat', `/tmp/cilium/config-map/${name}`]))?.trim()
  const routing = await option('routing-mode')
  const tunnel = routing === 'native' ? 'disabled' : ((await option('tunnel-protocol')) ?? (await option('tunnel')))
  const enforcement = await option('enable-policy')
  const aggregation = await option('monitor-aggregation')
  const settings = { ...(tunnel ? { tunnel } : {}), ...(enforcement ? { enforcement } : {}), ...options.settings }
  const handle = handleOf(found, version, wantedOf(version, { ...options, settings }))
  if (aggregation === undefined || /^(none|disabled|0?)$/i.test(aggregation)) return handle
  return { ...handle, capabilities: { ...handle.capabilities, monitor: `it tells of some packets only (monitor-aggregation is ${aggregation}; suites need none)` } }
}

function handleOf(adapted: Pick<Adapted, 'namespace' | 'selector' | 'container'>, version: CiliumVersion, { tunnel, enforcement, kubeProxyReplacement, kvstore }: Wanted): InstallPlan['handle'] {
  const replaces = atLeast(version, '1.8') && kubeProxyReplacement === 'true' ? true : 'that is done by a kube-proxy, which there is none of; from 1.8 on it can: --agent-option kube-proxy-replacement=true'
  const enforces = enforcement === 'default' ? true : `enforcement is ${enforcement}: suites need pods that no policy selects to be reached`
  const noTunnel = `tunnel is ${tunnel}`
  return {
    version: version.text, namespace: adapted.namespace, selector: adapted.selector, container: adapted.container, cli: [atLeast(version, '1.15') ? 'cilium-dbg' : 'cilium'],
    capabilities: {
      endpoints: true, identities: true, monitor: true, 'network-policy': enforces, 'cilium-network-policy': enforces, 'fqdn-policy': !atLeast(version, '1.2') ? 'toFQDNs came with 1.2' : atLeast(version, '1.4') ? 'from 1.4 on it learns names from the questions of pods, and does not ask itself' : enforces, 'http-policy': atLeast(version, '1.1') ? enforces : 'its monitor is read as text, of drops and traces only',
      'policy-cli': atLeast(version, '1.15') ? 'its command line traces policies no more since 1.15' : true,
      'policy-status': atLeast(version, '1.12') ? 'nodes write no status of policies since 1.12, unless asked to' : true,
      'drops-fragments': atLeast(version, '1.8') ? 'it passes fragments since 1.8' : true,
      services: true, 'node-port': replaces, 'session-affinity': replaces, 'service-cli': atLeast(version, '1.17') ? 'its command line makes no services since 1.17' : true,
      captures: 'of what pods send to services its load-balancer captures nothing',
      refusals: 'what its datapath has no room for depends on version and kernel',
      ipv6: atLeast(version, '1.3') ? 'it is off since 1.3, unless asked for' : true,
      'ipv6-services': 'nobody has tried it with this driver',
      kvstore: kvstore === 'etcd' ? true : kvstore === 'crd' ? 'it keeps identities in Kubernetes: --agent-option kvstore=etcd' : 'where it keeps identities is left to its manifests',
      tunnel: tunnel === 'disabled' ? noTunnel : true,
      'tunnel-map': tunnel === 'disabled' ? noTunnel : atLeast(version, '1.18') ? 'from 1.18 on tunnels are found by the ipcache' : true,
    },
    ...(tunnel === 'disabled' ? {} : { tunnel }),
    // 1.0 printed text only, and knew fewer types.
    monitor: atLeast(version, '1.1') ? { form: 'json', args: ['monitor', '--json', ...ciliumMonitorTypes] } : { form: 'text', args: ['monitor', '--type', 'drop', '--type', 'trace'] },
    fatal: ciliumFatal, dumps: ciliumDumps, patience: patienceOf(version),
  }
}
