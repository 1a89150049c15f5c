import type { V1Job, V1Pod } from '@kubernetes/client-node'
import { spawn, type ChildProcess } from 'node:child_process'
import { createReadStream, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { WebSocketServer } from 'ws'
import { podFolders } from '../pod-places.ts'

/** What a test wants of a cluster. */
export interface Wishes {
  /** `create jobs`: rights that the account has not. */
  denied?: readonly string[]
  /** Status of a pod instead of running it. */
  status?: (attempt: number) => NonNullable<V1Pod['status']>
  /** No pod is made of Jobs; they get this event. */
  noPod?: string
  /** Of every Job. */
  jobStatus?: NonNullable<V1Job['status']>
  /** A Job is refused so: HTTP status and message. */
  refuse?: { readonly code: number; readonly message: string }
  /** The first two log connections break after that many bytes. */
  cutLogAfter?: number
  /** Execs that fetch results break after that many bytes, the first time. */
  cutExecAfter?: number
}

interface Pod { readonly job: V1Job; readonly dir: string; readonly log: string; child?: ChildProcess; code?: number | null; signal?: string | null; looks: number }

/**
 * An API server on loopback as far as the engine uses one; pods are processes of this host, in a folder instead of /work, that run testing/fake-pod.ts. Not a cluster: the real one is tried by hand
 * (docs/engine.md).
 */
export class FakeKube {
  readonly wishes: Wishes
  /** Jobs there ever were. */
  readonly jobs: V1Job[] = []
  readonly #dir: string
  readonly #pods = new Map<string, Pod>()
  readonly #server = createServer((request, answer) => void this.#answer(request, answer).catch((error: unknown) => answer.writeHead(500).end(JSON.stringify({ message: String(error) }))))
  readonly #sockets = new Set<Socket>()
  #cut = false
  #logsCut = 0

  constructor(dir: string, wishes: Wishes = {}) {
    this.#dir = dir
    this.wishes = wishes
  }

  /** Answers the path of a kubeconfig. */
  async start(): Promise<string> {
    const websockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v4.channel.k8s.io' })
    this.#server.on('connection', (socket) => this.#sockets.add(socket))
    this.#server.on('upgrade', (request, socket, head) => websockets.handleUpgrade(request, socket, head, (connection) => {
      const { pathname, searchParams } = urlOf(request)
      const pod = this.#pods.get(pathname.split('/')[6]!.replace(/-pod$/, ''))
      const argv = searchParams.getAll('command').map((word) => (pod ? word.replaceAll(podFolders.work, pod.dir) : word))
      const child = spawn(argv[0]!, argv.slice(1), { stdio: 'pipe', ...(pod ? { cwd: pod.dir } : {}) })
      const send = (channel: number, data: Buffer | string): void => connection.send(Buffer.concat([Buffer.from([channel]), Buffer.from(data)]))
      let sent = 0
      child.stdout.on('data', (data: Buffer) => {
        sent += data.length
        if (this.wishes.cutExecAfter !== undefined && !this.#cut && sent > this.wishes.cutExecAfter) {
          this.#cut = true
          return socket.destroy()
        }
        send(1, data)
      })
      child.stderr.on('data', (data: Buffer) => send(2, data))
      child.stdin.on('error', () => undefined)
      connection.on('message', (message: Buffer) => message[0] === 0 && child.stdin.write(message.subarray(1)))
      connection.on('close', () => child.kill())
      child.on('close', (code) => send(3, JSON.stringify(code === 0 ? { status: 'Success' } : { status: 'Failure', details: { causes: [{ reason: 'ExitCode', message: String(code) }] } })))
    }))
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const file = join(this.#dir, 'kubeconfig')
    writeFileSync(file, JSON.stringify(kubeconfigOf(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`)))
    return file
  }

  async stop(): Promise<void> {
    for (const name of [...this.#pods.keys()]) this.killPod(name)
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Jobs that are there now. */
  get left(): string[] {
    return [...this.#pods.keys()]
  }

  /** As a node that went down: the pod's process dies. */
  killPod(job: string, signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#pods.get(job)?.child?.kill(signal)
  }

  logOf(job: string): string {
    return readFileSync(this.#pods.get(job)!.log, 'utf8')
  }

  async #answer(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { pathname, searchParams } = urlOf(request)
    const say = (code: number, body: object): void => void answer.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const body = await bodyOf(request)
    if (pathname.endsWith('/selfsubjectaccessreviews')) {
      const { verb, resource, subresource } = (body as { spec: { resourceAttributes: Record<string, string> } }).spec.resourceAttributes
      return say(201, { status: { allowed: !this.wishes.denied?.includes(`${verb} ${resource}${subresource ? `/${subresource}` : ''}`) } })
    }
    if (pathname.endsWith('/jobs') && request.method === 'POST') return this.#create(body as V1Job, searchParams.has('dryRun'), say)
    const name = pathname.split('/').at(-1)!
    if (pathname.includes('/jobs/') && request.method === 'DELETE') return this.#delete(name, say)
    if (pathname.includes('/jobs/')) return this.#pods.has(name) ? say(200, { ...this.#pods.get(name)!.job, status: this.wishes.jobStatus ?? {} }) : say(404, { message: 'no such job' })
    if (pathname.endsWith('/pods')) return say(200, { items: this.#list(searchParams.get('labelSelector')!.replace('job-name=', '')) })
    if (pathname.endsWith('/events')) return say(200, { items: this.wishes.noPod === undefined ? [] : [{ type: 'Warning', message: this.wishes.noPod }] })
    if (pathname.endsWith('/log')) return this.#log(this.#pods.get(pathname.split('/').at(-2)!.replace(/-pod$/, '')), searchParams.get('follow') === 'true', answer)
    say(404, { message: `no route for ${pathname}` })
  }

  #create(job: V1Job, dry: boolean, say: (code: number, body: object) => void): void {
    if (this.wishes.refuse) return say(this.wishes.refuse.code, { kind: 'Status', message: this.wishes.refuse.message })
    if (dry) return say(201, job)
    this.jobs.push(job)
    const name = job.metadata!.name!
    const dir = join(this.#dir, name)
    mkdirSync(dir)
    const pod: Pod = { job, dir, log: join(dir, 'log'), looks: 0 }
    writeFileSync(pod.log, '')
    this.#pods.set(name, pod)
    if (!this.wishes.status && this.wishes.noPod === undefined) this.#run(pod)
    say(201, job)
  }

  #run(pod: Pod): void {
    const container = pod.job.spec!.template.spec!.containers[0]!
    const meeting = join(this.#dir, 'meeting')
    mkdirSync(meeting, { recursive: true })
    const out = openSync(pod.log, 'a')
    const args = [join(import.meta.dirname, 'fake-pod.ts'), meeting, ...(container.args ?? []).map((word) => word.replaceAll(podFolders.work, pod.dir))]
    const env = Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, (value ?? '').replaceAll(podFolders.work, pod.dir)]))
    pod.child = spawn(process.execPath, args, { cwd: pod.dir, stdio: ['ignore', out, out], env: { ...process.env, ...env, XDG_CACHE_HOME: join(this.#dir, 'cache'), KERNELBED_OWNER: '' } })
    pod.child.on('exit', (code, signal) => {
      pod.code = code
      pod.signal = signal
    })
  }

  #delete(name: string, say: (code: number, body: object) => void): void {
    const pod = this.#pods.get(name)
    if (!pod) return say(404, { kind: 'Status', message: `jobs.batch "${name}" not found` })
    pod.child?.kill('SIGTERM')
    const gone = (): void => void this.#pods.delete(name)
    if (!pod.child || pod.code !== undefined) gone()
    else pod.child.on('exit', gone)
    say(200, { kind: 'Status' })
  }

  #list(name: string): V1Pod[] {
    const pod = this.#pods.get(name)
    if (!pod || this.wishes.noPod !== undefined) return []
    const status = this.wishes.status?.(pod.looks++) ?? (pod.code === undefined ? { phase: 'Running', containerStatuses: [statusOf({ running: {} })] }
      : { phase: 'Failed', containerStatuses: [statusOf({ terminated: { exitCode: pod.code ?? 137, reason: 'Error' } })] })
    return [{ metadata: { name: `${name}-pod`, namespace: 'ns' }, spec: pod.job.spec!.template.spec!, status }]
  }

  #log(pod: Pod | undefined, follow: boolean, answer: ServerResponse): void {
    if (!pod) return void answer.writeHead(404).end()
    answer.writeHead(200)
    answer.flushHeaders()
    let at = 0
    const more = (): void => {
      if (!existsSync(pod.log)) return void answer.end()
      const stream = createReadStream(pod.log, { start: at })
      stream.on('data', (data: string | Buffer) => {
        at += data.length
        answer.write(data)
        if (this.wishes.cutLogAfter !== undefined && at > this.wishes.cutLogAfter && this.#logsCut++ < 2) answer.destroy()
      })
      stream.on('end', () => (follow && pod.code === undefined && !answer.destroyed ? setTimeout(more, 20) : answer.end()))
      stream.on('error', () => answer.end())
    }
    more()
  }
}

const statusOf = (state: object): NonNullable<NonNullable<V1Pod['status']>['containerStatuses']>[number] => ({ name: 'cell', image: '', imageID: '', ready: true, restartCount: 0, state })

const urlOf = (request: IncomingMessage): URL => new URL(request.url ?? '/', 'http://x')

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text === '' ? {} : JSON.parse(text)
}

/** The client talks HTTP only where certificates are not checked. */
export const kubeconfigOf = (server: string, context = 'there'): object => ({
  apiVersion: 'v1', kind: 'Config', 'current-context': context,
  clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }], users: [{ name: 'u', user: { token: 't' } }], contexts: [{ name: 'there', context: { cluster: 'c', user: 'u', namespace: 'ns' } }],
})
