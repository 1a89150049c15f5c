/**
 * Entry of the node link: `link-main.ts <Unix socket> <forwards, as JSON>`. Keeps an SSH connection to every node it is told of (PUT /nodes), listens there for the API server and what
 * else is forwarded (connections wait until PUT /ready; PUT /ways/etcd {"open":false} shuts one), and serves HTTP CONNECT on the socket for connections from the API server to nodes.
 */
import { createServer, type IncomingMessage } from 'node:http'
import { rmSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { LinkedNode } from './linked-node.ts'
import type { LinkNode } from './link.ts'
import { Way, type Forward } from './way.ts'

const [socketPath = '', forwards = '[]'] = process.argv.slice(2)
const ways = (JSON.parse(forwards) as Forward[]).map((forward) => new Way(forward))
const nodes = new Map<string, LinkedNode>()
const log = (line: string): void => void process.stdout.write(`${new Date().toISOString()} ${line}\n`)

const server = createServer((request, response) => {
  void handle(request).then((text) => response.end(text), (error: unknown) => {
    response.statusCode = 400
    response.end(String(error))
  })
})

async function handle(request: IncomingMessage): Promise<string> {
  if (request.method === 'PUT' && request.url === '/ready') for (const way of ways) way.open()
  else if (request.method === 'PUT' && request.url?.startsWith('/ways/')) turn(request.url.slice('/ways/'.length), await bodyOf<{ readonly open: boolean }>(request))
  else if (request.method === 'PUT') {
    const node = await bodyOf<LinkNode>(request)
    nodes.get(node.name)?.close()
    nodes.set(node.name, new LinkedNode(node, ways, log))
  }
  return JSON.stringify([...nodes.values()].map((node) => node.state))
}

async function bodyOf<T>(request: IncomingMessage): Promise<T> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  return JSON.parse(body) as T
}

function turn(name: string, { open }: { readonly open: boolean }): void {
  const way = ways.find(({ forward }) => forward.name === name)
  if (!way) throw new Error(`there is no way to ${name}; ways: ${ways.map(({ forward }) => forward.name).join(', ')}`)
  if (open) way.open()
  else way.shut()
  log(`${name}: ${open ? 'open' : 'shut'}`)
}

server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
  client.on('error', () => client.destroy())
  void connect(request.url ?? '', client, head).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    log(`CONNECT ${request.url}: ${reason}`)
    client.end(`HTTP/1.1 502 ${reason.replace(/[^ -~]/g, ' ')}\r\n\r\n`)
  })
})

async function connect(target: string, client: Duplex, head: Buffer): Promise<void> {
  const { hostname, port } = new URL(`tcp://${target}`)
  const all = [...nodes.values()]
  const owner = all.find((node) => node.address === hostname)
  // Anything else is a pod's or a service's address, which every node can reach.
  const via = owner ?? all.find((node) => node.state.connected)
  if (!via) throw new Error(`no node is connected to reach ${hostname}`)
  const channel = await via.open(owner ? '127.0.0.1' : hostname, Number(port))
  client.write('HTTP/1.1 200 Connection established\r\n\r\n')
  if (head.length) channel.write(head)
  client.pipe(channel).pipe(client)
  for (const [one, other] of [[client, channel], [channel, client]] as const) one.on('close', () => other.destroy()).on('error', () => other.destroy())
}

process.umask(0o077)
rmSync(socketPath, { force: true })
server.listen(socketPath, () => log(`listening on ${socketPath}; ${ways.map(({ forward: { name, to } }) => `${name} on port ${to}`).join(', ')}`))
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    for (const node of nodes.values()) node.close()
    rmSync(socketPath, { force: true })
    process.exit(0)
  })
}
