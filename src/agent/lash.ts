import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { ClusterHandle } from '../cluster/index.ts'
import { cached } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { ensureBusybox, writeImageTar, type ImageFile } from '../image/index.ts'
import type { ImageTar } from '../image/types.ts'
import { capabilityNames, type Capability } from './capabilities.ts'
import { ciliumDumps, ciliumFatal, ciliumMonitorTypes } from './cilium-log.ts'
import { findAgent } from './cilium/adapt.ts'
import type { AgentDriver, AgentOptions, InstallPlan, SeededFault } from './driver.ts'
import { etcdConfigPath, etcdOf, giveEtcd } from './etcd-access.ts'
import { manifestsText, parseManifests } from './manifests.ts'

const source = join(import.meta.dirname, '../../agent')
const manifestFile = join(source, 'manifests/lash.yaml')
const cleanupFile = join(source, 'manifests/cleanup.yaml')
const built = z.object({ rootfs: z.string(), entrypoint: z.array(z.string()), version: z.string() })
const imageRef = 'kernelbed.local/lash:dev'
const faultList = z.record(z.string(), z.strictObject({ does: z.string(), caughtBy: z.array(z.string()), settings: z.record(z.string(), z.string()).exactOptional() }))

/** Our own agent: TypeScript and BPF in `agent/`, known here by its build program, its manifests and what its `cilium` prints. */
export const lash: AgentDriver = {
  name: 'lash',
  faults: seededFaults(),
  options: {
    tunnel: { description: 'how packets travel between nodes', values: ['vxlan', 'geneve'] },
    kvstore: { description: 'where identities and addresses of pods are kept', values: ['etcd', 'kubernetes'] },
    'enable-ipv6': { description: 'IPv6 addresses for pods too; auto: where the kernel has IPv6', values: ['auto', 'true', 'false'] },
  },
  verifier: { command: ['cilium-agent', '--verifier-stats'], recorded: join(import.meta.dirname, '../../docs/verifier.json') },
  refusal: {
    fatal: /^level=fatal msg="kernel version: NOT OK: minimal supported kernel version is >= (?<minimal>[\d.]+); kernel version that is running is: (?<running>[\d.]+)"/,
    minimal: '4.8.0',
    exitCode: 1,
    bypass: {
      args: ['--skip-kernel-check'],
      missing: /^level=error msg="(?<feature>[^"]+?): not supported by this kernel \((?<answer>[^"]+)\); came with (?<since>[\d.]+)/,
      exitCode: 1,
      needs: [
        { feature: 'qdisc clsact', since: '4.5' },
        { feature: 'BPF map type percpu_hash', since: '4.6' },
        { feature: 'BPF helper perf_event_output', since: '4.8' },
        { feature: 'BPF helper skb_load_bytes', since: '4.5' },
        { feature: 'BPF helper skb_change_type', since: '4.8' },
        { feature: 'BPF helper get_hash_recalc', since: '4.8' },
      ],
    },
  },
  prepareImages: async (ctx, options) => [await buildImage(ctx, options)],
  installDigest: ({ fault, settings }) => createHash('sha256').update(`${fault ?? ''}\0${JSON.stringify(settings ?? {})}`).update(readFileSync(manifestFile)).digest('hex'),
  find: ({ settings }) => ({
    handle: handleOf(settings),
    ask: async (run) => {
      const option = async (name: string): Promise<string> => (await run(['cat', `/tmp/cilium/config-map/${name}`]))?.trim() ?? ''
      return handleOf({ tunnel: await option('tunnel'), kvstore: await option('kvstore') }, lacksIPv6((await run(['cilium', 'status'])) ?? ''))
    },
  }),
  needsEtcd: (_ctx, { settings }) => settings?.['kvstore'] === 'etcd',
  plan: async (cluster, _ctx, { settings }) => ({
    manifests: installed(cluster, settings), handle: handleOf(settings),
    refine: async (exec) => handleOf(settings, lacksIPv6(await exec(['status']))),
  }),
}

/** Why pods have no IPv6, by what `cilium status` says. */
const lacksIPv6 = (status: string): string | undefined => (/^IPv6 address pool:/m.test(status) ? undefined : 'it is off: the kernel has no IPv6, or enable-ipv6 is false')

const handleOf = ({ tunnel, kvstore }: NonNullable<AgentOptions['settings']> = {}, noIPv6?: string): InstallPlan['handle'] => ({
  tunnel: tunnel === 'geneve' ? 'geneve' : 'vxlan',
  namespace: 'kube-system', selector: 'k8s-app=cilium', container: 'cilium-agent', cli: ['cilium'],
  // All that there are.
  capabilities: {
    ...(Object.fromEntries(capabilityNames.map((name) => [name, true])) as Record<Capability, true>),
    kvstore: kvstore === 'etcd' ? true : 'it keeps identities in Kubernetes: --agent-option kvstore=etcd', ipv6: noIPv6 ?? true, 'ipv6-services': noIPv6 ?? true,
  },
  monitor: { form: 'json', args: ['monitor', '--json', ...ciliumMonitorTypes] },
  metrics: { port: 9090 }, cleanup: readFileSync(cleanupFile, 'utf8'),
  fatal: ciliumFatal, dumps: ciliumDumps,
})

/** What lash's build program can build in. */
function seededFaults(): SeededFault[] {
  return Object.entries(faultList.parse(JSON.parse(readFileSync(join(source, 'faults.json'), 'utf8')))).map(([name, fault]) => ({ name, ...fault }))
}

async function buildImage(ctx: Context, { fault }: AgentOptions): Promise<ImageTar> {
  const digest = digestOf(source, fault)
  const dir = await cached(ctx, 'images', `lash-${digest.slice(0, 16)}`, (entry) => inStep(ctx.progress, fault === undefined ? 'lash: build' : `lash: build with fault ${fault}`, async (step) => {
    const out = join(entry, 'build')
    const args = [join(source, 'build.ts'), '--out', out, ...(fault === undefined ? [] : ['--fault', fault])]
    const { stdout } = await runCommand(process.execPath, args, { cwd: source, signal: ctx.signal, timeoutMs: 10 * 60_000, blame: 'agent', onLine: (line) => step.update(line) })
    const { rootfs, entrypoint } = parseBuilt(stdout)
    await writeImageTar({ ref: imageRef, rootfs, entrypoint, files: await shell(ctx) }, join(entry, 'image.tar'), ctx)
    rmSync(out, { recursive: true })
  }))
  return { ref: imageRef, path: join(dir, 'image.tar'), digest }
}

/** Streams from a pod need a shell beside the program (streamInPod), and so do people. */
async function shell(ctx: Context): Promise<ImageFile[]> {
  return [{ path: '/bin/busybox', from: await ensureBusybox(ctx), mode: 0o755 }, ...['sh', 'cat', 'ls', 'ps', 'kill', 'sleep'].map((name) => ({ path: `/bin/${name}`, link: 'busybox' }))]
}

/** What the build program's last line says. Throws KernelbedError blaming the agent. */
function parseBuilt(stdout: string): z.infer<typeof built> {
  try {
    return built.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''))
  } catch (cause) {
    throw new KernelbedError('agent/build.ts did not say what it built', { blame: 'agent', details: stdout.slice(-2000), cause })
  }
}

/** Of what the image is made from: every file of the agent but its tests, the packages it bundles, the Node it runs on, and the fault. */
function digestOf(folder: string, fault: string | undefined): string {
  const hash = createHash('sha256').update(`4 ${process.version} ${fault ?? ''}`)
  hash.update(readFileSync(join(folder, '../package-lock.json')))
  for (const file of filesOf(folder)) hash.update(`\0${file}\0`).update(readFileSync(join(folder, file)))
  return hash.digest('hex')
}

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .filter((file) => !/(^|\/)(testing|node_modules|dist)\/|\.test\.ts$/.test(file)).sort()

/** The agent's manifests for a cluster: where it keeps identities in an etcd, with the way to the cluster's. */
function installed(cluster: ClusterHandle, settings: AgentOptions['settings']): string {
  const text = manifests(cluster.nodeApi, settings)
  if (settings?.['kvstore'] !== 'etcd') return text
  const objects = parseManifests(text, manifestFile)
  giveEtcd(objects, findAgent(objects), etcdOf(cluster))
  return manifestsText(objects)
}

/** The agent's manifests with the API server's address of this cluster, and the settings asked for (`AgentDriver.options`). */
export function manifests(api: { readonly host: string; readonly port: number }, settings: AgentOptions['settings'] = {}, text = readFileSync(manifestFile, 'utf8')): string {
  const { kvstore, ...others } = settings
  const etcd = kvstore === 'etcd' ? { kvstore: 'etcd', 'kvstore-opt': `etcd.config=${etcdConfigPath}` } : {}
  const values = { 'k8s-api-host': api.host, 'k8s-api-port': `"${api.port}"`, ...others, ...etcd }
  return Object.entries(values).reduce((yaml, [name, value]) => {
    const line = new RegExp(`^( *${name}:).*$`, 'm')
    if (!line.test(yaml)) throw new KernelbedError(`agent/manifests/lash.yaml has no ${name}`, { blame: 'agent', hint: 'its ConfigMap cilium-config must have it' })
    return yaml.replace(line, `$1 ${value}`)
  }, text)
}
