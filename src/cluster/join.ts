import type { Context } from '../core/context.ts'
import { inStep } from '../core/progress.ts'
import { waitFor } from '../core/wait.ts'
import type { Machine } from '../machine/types.ts'
import type { ControlPlane } from './control-plane.ts'
import type { Link } from './link.ts'
import { kubeletArgs, nodeFiles, type GuestFile, type NodeFiles } from './node-files.ts'
import { conditionOf, leaseRenewal, nodeStatus } from './node-status.ts'
import { minorOf } from './version.ts'

/** Name that containerd is told for the sandbox image; src/image makes it. */
export const pauseImage = 'kernelbed.local/pause:1'

/** Makes a machine a node: containerd and kubelet started, the API server reachable on it. Resolves when the node has registered itself. */
export function joinNode(machine: Machine, plane: ControlPlane, ctx: Context): Promise<void> {
  return inStep(ctx.progress, `${machine.name}: kubelet`, async (step) => {
    const node = identityOf(machine, plane)
    await Promise.all([linkNode(machine, plane.link), machine.exec('sh -s', { stdin: joinScript(nodeFiles(node), kubeletArgs(node)), timeoutMs: 60_000, signal: ctx.signal })])
    await waitRegistered(machine, plane, ctx, step.update.bind(step))
  })
}

/** Gives a node its way to the API server. */
export const linkNode = ({ handle: { name, address, ssh } }: Machine, link: Link): Promise<void> => link.add({ name, address, ssh })

/** Takes back a restored node that is linked; resolves when its kubelet has renewed its lease since, which shows that both its clock and its way to the API server are right. */
export function rejoinNode(machine: Machine, plane: ControlPlane, since: Date, ctx: Context): Promise<void> {
  return inStep(ctx.progress, `${machine.name}: kubelet`, async (step) => {
    const { name } = machine.handle
    const evidence = (): Promise<string> => guestLogs(machine)
    await waitFor({ name: `kubelet of ${name} to renew its lease`, timeoutMs: 40_000, intervalMs: 100, signal: ctx.signal, blame: 'cluster', evidence }, async () => {
      plane.assertAlive()
      const renewed = await leaseRenewal(plane.api, name)
      if (renewed !== undefined && renewed > since && conditionOf(await nodeStatus(plane.api, name), 'Ready')?.status === 'True') return { done: undefined }
      const seen = `lease renewed at ${renewed?.toISOString() ?? 'no time'}`
      step.update(seen)
      return { seen }
    })
  })
}

function identityOf({ handle: { name, address } }: Machine, { authority, kubernetes }: ControlPlane): NodeFiles {
  return {
    name, address, pauseImage, minor: minorOf(kubernetes.version), ca: authority.ca.cert,
    client: authority.issue(`${name}-client`, { commonName: `system:node:${name}`, organisations: ['system:nodes'] }),
    serving: authority.issue(`${name}-serving`, { commonName: name, hosts: [name, address, '127.0.0.1'] }),
  }
}

/** Each service is in a session of its own and logs to /var/log. kubelet is started again when it ends, as a node's init would. */
export function joinScript(files: readonly GuestFile[], kubelet: readonly string[]): string {
  return `set -e
umask 022
# Our image's init says when modules and control groups are there; other machines are ready when they answer.
if [ -d /run/kernelbed ]; then until [ -e /run/kernelbed/ready ]; do sleep 0.05; done; fi
mkdir -p /etc/containerd /etc/kubernetes /etc/cni/net.d /opt/cni/bin /var/lib/kubelet
${files.map(writeCommand).join('\n')}
serial=$(grep -lx kb-images /sys/block/vd*/serial 2>/dev/null || true)
if [ -n "$serial" ]; then
  disk=\${serial#/sys/block/}
  umount "/dev/\${disk%/serial}" 2>/dev/null || true
  mkdir -p /mnt/images /var/lib/containerd && mount -t ext4 "/dev/\${disk%/serial}" /mnt/images
  if [ -d /mnt/images/containerd ]; then mount --bind /mnt/images/containerd /var/lib/containerd; fi
fi
${service('containerd', 'exec containerd --log-level=info')}
containerd=$!
${service('kubelet', `until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done
for tar in /mnt/images/tars/*.tar; do if [ -e "$tar" ]; then ctr -n k8s.io images import "$tar"; fi; done
# Without this kubelet asks Amazon's metadata service for registry credentials, with retries, before it starts.
export AWS_EC2_METADATA_DISABLED=true
while :; do kubelet ${kubelet.join(' ')}; echo "kubelet ended: $?"; sleep 1; done`)}
until [ -S /run/containerd/containerd.sock ]; do
  kill -0 $containerd 2>/dev/null || { echo 'containerd ended:' >&2; tail -n 10 /var/log/containerd.log >&2; exit 1; }
  sleep 0.1
done
`
}

const writeCommand = ({ path, content, mode }: GuestFile): string => `base64 -d > ${path} <<'END'
${Buffer.from(content).toString('base64').replace(/.{76}/g, '$&\n')}
END
chmod ${mode.toString(8)} ${path}`

const service = (name: string, body: string): string => `setsid sh -s > /var/log/${name}.log 2>&1 <<'SERVICE' &
${body}
SERVICE`

async function waitRegistered(machine: Machine, plane: ControlPlane, ctx: Context, update: (detail: string) => void): Promise<void> {
  const evidence = (): Promise<string> => guestLogs(machine)
  await waitFor({ name: `kubelet of ${machine.name} to register its node`, timeoutMs: 180_000, intervalMs: 200, signal: ctx.signal, blame: 'cluster', hint: `npm run shell -- ${machine.name} less /var/log/kubelet.log`, evidence }, async () => {
    plane.assertAlive()
    const status = await nodeStatus(plane.api, machine.name)
    if (status) return { done: undefined }
    update('not registered yet')
    return { seen: 'not registered yet' }
  })
}

/** Waits until nodes are Ready; that takes a CNI configuration, so it comes after the agent. */
export function waitNodesReady(machines: readonly Machine[], plane: ControlPlane, ctx: Context): Promise<void> {
  return inStep(ctx.progress, 'nodes Ready', async (step) => {
    await Promise.all(machines.map((machine) => waitFor({ name: `${machine.name} to be Ready`, timeoutMs: 120_000, intervalMs: 200, signal: ctx.signal, blame: 'cluster', evidence: () => guestLogs(machine) }, async () => {
      plane.assertAlive()
      const ready = conditionOf(await nodeStatus(plane.api, machine.name), 'Ready')
      if (ready?.status === 'True') return { done: undefined }
      step.update(`${machine.name}: ${ready?.message ?? 'no status yet'}`)
      return { seen: ready ? `${ready.reason}: ${ready.message}` : 'no status yet' }
    })))
  })
}

/** Last lines of what runs on the node. Never throws: it is evidence. */
async function guestLogs(machine: Machine): Promise<string> {
  const command = 'for s in kubelet containerd; do echo "$s.log:"; tail -n 12 /var/log/$s.log | cut -c1-300; done; ps ax -o pid,stat,time,args 2>/dev/null | grep -E "[k]ubelet|[c]ontainerd" | cut -c1-120'
  try {
    return (await machine.exec(command, { timeoutMs: 15_000, allowFailure: true })).stdout
  } catch (error) {
    return `${machine.name} does not answer: ${error instanceof Error ? error.message : String(error)}\n${machine.consoleTail(15)}`
  }
}

