import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { startLink, turnWay } from './link.ts'
import { TestSshServer } from './test-ssh-server.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-link-'))
const registry = new Registry()
const ctx = { registry, progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
const servers: TestSshServer[] = []
afterEach(async () => {
  await registry.releaseAll()
  for (const server of servers.splice(0)) server.close()
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** The API server's forward, to a port of this host. */
const api = (to: number) => ({ name: 'api', host: '172.31.255.1', port: 6443, to }) as const

const node = async (name: string, address: string) => {
  const server = await TestSshServer.start(join(dir, `${name}-key`))
  servers.push(server)
  return { server, node: { name, address, ssh: { host: '127.0.0.1', port: server.port, user: 'root', keyFile: server.keyFile } } }
}

/** First line of the proxy's answer, and what comes through the tunnel. */
const connectTo = (socketPath: string, target: string): Promise<string> => new Promise((resolve, reject) => {
  request({ socketPath, method: 'CONNECT', path: target }).on('error', reject).on('connect', (answer, socket, head) => {
    if (answer.statusCode !== 200) return resolve(`${answer.statusCode} ${answer.statusMessage}`)
    if (head.length) socket.unshift(head)
    socket.once('data', (data: Buffer) => {
      resolve(data.toString())
      socket.destroy()
    })
  }).end()
})

describe('the node link', () => {
  it('listens on a node for all that is forwarded, and proxies CONNECT to the node\'s own address and to pods', async () => {
    const link = await startLink({ socket: join(dir, 'link'), forwards: [api(1), { name: 'etcd', host: '172.31.255.1', port: 2379, to: 2 }] }, ctx)
    const { server, node: first } = await node('node1', '192.168.77.11')
    await link.add(first)
    expect(server.forwards).toEqual(['172.31.255.1:6443', '172.31.255.1:2379'])
    expect(await connectTo(link.socket, '192.168.77.11:10250')).toBe('you reached 127.0.0.1:10250')
    expect(await connectTo(link.socket, '10.244.0.7:8080')).toBe('you reached 10.244.0.7:8080')
    expect(await link.states()).toEqual([{ name: 'node1', connected: true, connections: 1 }])
  })

  it('connects again when a connection was lost', async () => {
    const link = await startLink({ socket: join(dir, 'link'), forwards: [api(1)] }, ctx)
    const { server, node: first } = await node('node1', '192.168.77.11')
    await link.add(first)
    server.dropConnections()
    await expect.poll(async () => (await link.states())[0], { timeout: 5000 }).toMatchObject({ connected: true, connections: 2 })
    expect(await connectTo(link.socket, '192.168.77.11:10250')).toBe('you reached 127.0.0.1:10250')
  })

  it('lets connections of a node wait until the API server is ready', async () => {
    const peers: string[] = []
    const apiServer = createServer((socket) => {
      peers.push('connected')
      socket.on('error', () => undefined).end('hello from the API server')
    }).listen(0, '127.0.0.1')
    await once(apiServer, 'listening')
    const link = await startLink({ socket: join(dir, 'link'), forwards: [api((apiServer.address() as AddressInfo).port)] }, ctx)
    const { server, node: first } = await node('node1', '192.168.77.11')
    await link.add(first)
    const connecting = server.connectFromNode('172.31.255.1', 6443)
    // A round trip to the node: its connection has come by then.
    expect(await connectTo(link.socket, '10.244.0.7:8080')).toBe('you reached 10.244.0.7:8080')
    expect(peers).toEqual([])
    await link.ready()
    const channel = await connecting
    expect(String((await once(channel, 'data') as [Buffer])[0])).toBe('hello from the API server')
    apiServer.close()
  })

  it('ends the connections to an address that is shut, and refuses new ones until it is open', async () => {
    const etcd = createServer((socket) => socket.on('error', () => undefined).write('hello')).listen(0, '127.0.0.1')
    await once(etcd, 'listening')
    const link = await startLink({ socket: join(dir, 'link'), forwards: [api(1), { name: 'etcd', host: '172.31.255.1', port: 2379, to: (etcd.address() as AddressInfo).port }] }, ctx)
    const { server, node: first } = await node('node1', '192.168.77.11')
    await link.add(first)
    await link.ready()
    const channel = await server.connectFromNode('172.31.255.1', 2379)
    await once(channel, 'data')
    const ended = once(channel, 'close')
    await turnWay(link.socket, 'etcd', false)
    await ended
    await expect(server.connectFromNode('172.31.255.1', 2379)).rejects.toThrow()
    await turnWay(link.socket, 'etcd', true)
    expect(String((await once(await server.connectFromNode('172.31.255.1', 2379), 'data') as [Buffer])[0])).toBe('hello')
    await expect(turnWay(link.socket, 'nowhere' as 'etcd', true)).rejects.toThrow('there is no way to nowhere; ways: api, etcd')
    etcd.close()
  })

  it('says that no node can reach an address when none is connected', async () => {
    const link = await startLink({ socket: join(dir, 'link'), forwards: [api(1)] }, ctx)
    await expect.poll(() => connectTo(link.socket, '10.244.0.7:80').catch(String), { timeout: 5000 }).toBe('502 no node is connected to reach 10.244.0.7')
  })
})
