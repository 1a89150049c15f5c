import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { leasePort } from '../core/ports.ts'
import { inStep } from '../core/progress.ts'
import { startService, type Service } from '../core/service.ts'
import { waitFor } from '../core/wait.ts'
import type { Kubernetes } from '../image/types.ts'
import { addresses } from './addresses.ts'
import { prepareAgentEtcd, type AgentEtcd } from './agent-etcd.ts'
import { openApi, type Api } from './api.ts'
import { agentEtcdArgs, apiServerArgs, controllerManagerArgs, egressConfig, etcdArgs, schedulerArgs, schedulerConfig, type ControlPlaneFiles } from './control-plane-args.ts'
import { writeKubernetesEndpoints } from './endpoints.ts'
import { writeKubeconfig } from './kubeconfig.ts'
import { startLink, type Link } from './link.ts'
import { createAuthority, createSigningKey, type Authority } from './pki.ts'
import { beginState } from './snapshot.ts'
import { minorOf } from './version.ts'
import type { Forward } from './way.ts'

/** etcd, API server, controller manager and scheduler on this host's loopback, with the link that reaches nodes. */
export interface ControlPlane {
  readonly kubernetes: Kubernetes
  readonly authority: Authority
  /** Admin kubeconfig (mode 600). */
  readonly kubeconfig: string
  readonly api: Api
  readonly apiPort: number
  readonly link: Link
  /** For the agent, where it was asked for. */
  readonly etcd?: AgentEtcd
  readonly services: readonly Service[]
  /** Throws with the log's tail when one of the programs has ended. For use inside waits. */
  assertAlive(): void
}

/** What is asked for. */
export interface ControlPlaneSpec {
  readonly kubernetes: Kubernetes
  /** The folder of a saved control plane (snapshot.ts), whose state and keys this one begins with. */
  readonly saved?: string
  /** An etcd for the agent too. */
  readonly agentEtcd?: boolean
}

/** A control plane on its way up. */
export interface StartingControlPlane {
  /** Takes nodes before the rest is there. */
  readonly link: Promise<Link>
  /** Resolves when the API server's /readyz says so and the `kubernetes` service has its endpoint. */
  readonly plane: Promise<ControlPlane>
}

/** Starts the control plane. */
export function startControlPlane(spec: ControlPlaneSpec, ctx: Context): StartingControlPlane {
  const { promise: link, resolve, reject } = Promise.withResolvers<Link>()
  link.catch(() => undefined) // told by `plane` too
  const plane = startPrograms(spec, resolve, ctx)
  plane.catch(reject)
  return { link, plane }
}

function startPrograms({ kubernetes, saved, agentEtcd = false }: ControlPlaneSpec, linked: (link: Link) => void, ctx: Context): Promise<ControlPlane> {
  return inStep(ctx.progress, 'control plane', async (step) => {
    beginState(saved, ctx)
    const { authority, files, adminKubeconfig, linkSocket } = await prepare(kubernetes, ctx)
    const services: Service[] = []
    const etcd = agentEtcd ? await prepareAgentEtcd(linkSocket, ctx) : undefined
    const start = async (name: string, args: readonly string[], cwd?: string, program = name): Promise<Service> => {
      const service = await startService(ctx.registry, {
        name, file: join(kubernetes.bin, program), args, logFile: join(ctx.dir, 'logs', `${name}.log`), blame: 'cluster', graceMs: 1000,
        // A collector that runs less often: these programs are short-lived and the host has the memory.
        env: { GOGC: '400' }, ...(cwd === undefined ? {} : { cwd }),
      })
      services.push(service)
      return service
    }
    step.update('etcd')
    // etcd and the API server meet at a Unix socket; etcd takes only "host:port" as its name, so it is relative to the working folder.
    const linking = startLink({ socket: linkSocket, forwards: [apiForward(files.apiPort), ...(etcd ? [etcdForward(etcd.files.port)] : [])] }, ctx)
    linking.then(linked, () => undefined)
    const [link] = await Promise.all([linking, start('etcd', etcdArgs(files), ctx.sockets), start('kube-apiserver', apiServerArgs(files), ctx.sockets), ...(etcd ? [start('agent-etcd', agentEtcdArgs(etcd.files), ctx.sockets, 'etcd')] : [])])
    const assertAlive = (): void => [...services, link.service].forEach(assertRunning)
    const plane: ControlPlane = { kubernetes, authority, kubeconfig: adminKubeconfig, api: openApi(adminKubeconfig), apiPort: files.apiPort, link, services, assertAlive, ...(etcd ? { etcd: etcd.offered } : {}) }
    step.update('kube-apiserver')
    await waitApi(plane, ctx)
    await link.ready()
    await Promise.all([start('kube-controller-manager', controllerManagerArgs(files)), start('kube-scheduler', schedulerArgs(files)), writeKubernetesEndpoints(plane.api, ctx)])
    return plane
  })
}

async function prepare(kubernetes: Kubernetes, ctx: Context): Promise<{ authority: Authority; files: ControlPlaneFiles; adminKubeconfig: string; linkSocket: string }> {
  const dir = join(ctx.dir, 'control-plane')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const minor = minorOf(kubernetes.version)
  const authority = createAuthority(join(ctx.dir, 'pki'))
  const [apiPort, schedulerPort] = [await leasePort(ctx), await leasePort(ctx)]
  const server = `https://127.0.0.1:${apiPort}`
  const linkSocket = join(ctx.sockets, 'link')
  const { serving, kubeletClient, controllers, scheduler, admin, serviceAccounts } = issueAll(authority)
  const userConfig = (name: string, user: string, pair: typeof admin): string => writeKubeconfig(join(ctx.dir, name), server, authority.ca.cert, user, pair)
  const write = (name: string, content: object): string => {
    writeFileSync(join(dir, name), `${JSON.stringify(content, undefined, 1)}\n`)
    return join(dir, name)
  }
  const schedulerKubeconfig = userConfig('control-plane/scheduler.kubeconfig', 'system:kube-scheduler', scheduler)
  const files: ControlPlaneFiles = {
    minor, apiPort, serving, kubeletClient, serviceAccounts,
    ca: authority.ca,
    etcd: { dataDir: join(ctx.dir, 'etcd'), clientUrl: 'unix://etcd:1', peerUrl: 'unix://etcd:2' },
    egressConfig: write('egress.json', egressConfig(linkSocket)),
    controllerKubeconfig: userConfig('control-plane/controller-manager.kubeconfig', 'system:kube-controller-manager', controllers),
    schedulerConfig: write('scheduler.json', schedulerConfig(minor, schedulerKubeconfig, schedulerPort)),
  }
  return { authority, files, adminKubeconfig: userConfig('kubeconfig', 'admin', admin), linkSocket }
}

const apiForward = (to: number): Forward => ({ name: 'api', ...addresses.nodeApi, to })
const etcdForward = (to: number): Forward => ({ name: 'etcd', ...addresses.agentEtcd, to })

/** Certificates of the programs on the host; the nodes' are issued when they join. */
function issueAll(authority: Authority) {
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', `kubernetes.default.svc.${addresses.clusterDomain}`]
  return {
    serving: authority.issue('apiserver', { commonName: 'kube-apiserver', hosts: ['127.0.0.1', 'localhost', addresses.nodeApi.host, addresses.kubernetesService, ...service] }),
    kubeletClient: authority.issue('apiserver-kubelet-client', { commonName: 'kube-apiserver-kubelet-client', organisations: ['system:masters'] }),
    controllers: authority.issue('controller-manager', { commonName: 'system:kube-controller-manager' }),
    scheduler: authority.issue('scheduler', { commonName: 'system:kube-scheduler' }),
    admin: authority.issue('admin', { commonName: 'admin', organisations: ['system:masters'] }),
    serviceAccounts: createSigningKey(authority.dir, 'service-accounts'),
  }
}

async function waitApi(plane: ControlPlane, ctx: Context): Promise<void> {
  const apiServer = plane.services.find(({ name }) => name === 'kube-apiserver')
  await waitFor({ name: 'the API server to be ready', timeoutMs: 60_000, intervalMs: 50, signal: ctx.signal, blame: 'cluster', hint: `its log: ${apiServer?.logFile}`, evidence: () => apiServer?.logTail(10) ?? '' }, async () => {
    plane.assertAlive()
    const { status, body } = await plane.api.get('/readyz')
    return status === 200 ? { done: undefined } : { seen: `/readyz: ${status} ${failedChecks(body)}` }
  })
}

/** `[-]poststarthook/rbac/bootstrap-roles failed: …` lines of /readyz. */
const failedChecks = (body: string): string => body.split('\n').filter((line) => line.startsWith('[-]')).map((line) => line.slice(3)).join(', ') || body.trim().slice(0, 200)

/** Like Service.assertAlive, but says it when the reason was a port that someone else has. */
function assertRunning(service: Service): void {
  if (service.alive) return
  const taken = /(listen|bind).*?((?:\d+\.){3}\d+:\d+|unix\S*).*address already in use/.exec(service.logTail(30))
  if (!taken) return service.assertAlive()
  throw new KernelbedError(`${service.name} cannot listen on ${taken[2]}: another program has taken it`, { blame: 'host', details: service.logTail(3), hint: 'run again (a free port is chosen anew), or end what listens there: ss -ltnp' })
}
