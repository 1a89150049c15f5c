import { request } from 'node:http'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { startService, type Service } from '../core/service.ts'
import { waitFor } from '../core/wait.ts'
import type { MachineHandle } from '../machine/types.ts'
import type { Forward } from './way.ts'

/** What the node link is told of a node. */
export interface LinkNode { readonly name: string; readonly address: string; readonly ssh: MachineHandle['ssh'] }

/** How the link stands to a node. */
export interface LinkState { readonly name: string; readonly connected: boolean; /** Connections made so far; more than 1 means that it was lost. */ readonly connections: number; readonly error?: string }

/** The process that holds an SSH connection to each node (link-main.ts): API server to the node, kubelet to the API server, the agent to its etcd. */
export interface Link {
  readonly service: Service
  readonly socket: string
  /** Connects a node; resolves when the forwarded addresses are there on it. Connections to them wait for `ready`. */
  add(node: LinkNode): Promise<void>
  /** The control plane is ready: lets the nodes' connections through. */
  ready(): Promise<void>
  states(): Promise<readonly LinkState[]>
}

/** Starts the link; it goes on after this process (`--keep`) and takes nodes as they come up. */
export async function startLink({ socket, forwards }: { readonly socket: string; readonly forwards: readonly Forward[] }, ctx: Context): Promise<Link> {
  const service = await startService(ctx.registry, {
    name: 'node link', file: process.execPath, args: [new URL('./link-main.ts', import.meta.url).pathname, socket, JSON.stringify(forwards)],
    logFile: join(ctx.dir, 'logs', 'link.log'), graceMs: 500,
  })
  const states = async (): Promise<readonly LinkState[]> => JSON.parse(await call(socket, 'GET', '/nodes')) as LinkState[]
  const wait = { signal: ctx.signal, evidence: () => service.logTail(10) }
  const put = (path: string, body?: object): Promise<string> => waitFor({ ...wait, name: 'the node link to listen', timeoutMs: 10_000, intervalMs: 20, blame: 'host' }, async () => {
    service.assertAlive()
    return { done: await call(socket, 'PUT', path, body) }
  })
  const add = async (node: LinkNode): Promise<void> => {
    await put('/nodes', node)
    await waitFor({ ...wait, name: `the node link to reach ${node.name}`, timeoutMs: 30_000, intervalMs: 30, blame: 'cluster' }, async () => {
      service.assertAlive()
      const state = (await states()).find(({ name }) => name === node.name)
      return state?.connected ? { done: undefined } : { seen: state?.error ?? 'connecting' }
    })
  }
  return { service, socket, add, ready: async () => { await put('/ready') }, states }
}

/** Ends the nodes' connections to one of the forwarded addresses and refuses new ones, as if nothing listened there; or lets them through again. From any process. */
export async function turnWay(linkSocket: string, name: Forward['name'], open: boolean): Promise<void> {
  await call(linkSocket, 'PUT', `/ways/${name}`, { open })
}

function call(socketPath: string, method: string, path: string, body?: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, timeout: 5000 }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('error', reject)
        .on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode}: ${text}`))))
    })
    sent.on('timeout', () => sent.destroy(new Error('the node link does not answer'))).on('error', reject)
    sent.end(body && JSON.stringify(body))
  })
}
