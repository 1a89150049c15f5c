/** `cilium cleanup` on this machine's kernel. Needs root, clang and iproute2. */
import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { installCNI } from '../endpoint/cniconfig.ts'
import { ipv6Of, Lab, type LabNode } from '../datapath/testing/lab.ts'
import { compile } from '../datapath/testing/world.ts'

describe.skipIf(process.getuid?.() !== 0)('cilium cleanup', { timeout: 120_000 }, () => {
  let folder: string, lab: Lab, node: LabNode
  const at = (...names: string[]): string => path.join(folder, ...names)
  const inNode = (...args: string[]): string => execFileSync('ip', ['netns', 'exec', node.netns, ...args], { encoding: 'utf8' })

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-cleanup-'))
    lab = new Lab()
    node = lab.node(1, compile(folder), { ipv6: ipv6Of(1) })
    node.config.prefilter = { objectFile: compile(folder, undefined, 'prefilter'), device: 'eth1', mode: 'generic' }
    lab.wire(node)
  }, 60_000)
  afterAll(async () => {
    await lab.close()
    fs.rmSync(folder, { recursive: true })
  })

  /** An agent with a pod and a denial, that is killed. */
  const leftByAnAgent = async (): Promise<void> => {
    const agent = await node.start()
    await agent.call('addEndpoint', { id: 10, identity: 1010, netns: podNetns(), containerInterface: 'eth0', hostInterface: 'lxc10', ipv4: '10.244.1.10', ipv6: 'f00d::af4:100:0:a' })
    await agent.call('setPrefilter', ['10.9.2.0/24'])
    await agent.stop()
    fs.writeFileSync(at('cilium-cni'), '')
    fs.mkdirSync(at('state/10'), { recursive: true })
    installCNI({ plugin: at('cilium-cni'), binDir: at('bin'), confDir: at('net.d') })
  }
  const podNetns = (): string => {
    const name = `${node.netns}p`
    if (!fs.existsSync(`/var/run/netns/${name}`)) lab.addNetns(name)
    return `/var/run/netns/${name}`
  }
  const cleanup = (args: string[], input = ''): Promise<{ code: number | null; out: string }> => new Promise((resolve) => {
    const env = { CILIUM_BPF_ROOT: node.config.bpffs, CILIUM_SOCKET_PATH: at('cilium.sock'), CILIUM_STATE_DIR: at('state'), CILIUM_CNI_BIN_DIR: at('bin'), CILIUM_CNI_CONF_DIR: at('net.d'), PATH: process.env['PATH'] }
    const child = spawn('ip', ['netns', 'exec', node.netns, process.execPath, path.join(import.meta.dirname, 'main.ts'), 'cleanup', ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] })
    let out = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { out += String(chunk) })
    child.on('close', (code) => resolve({ code, out }))
    child.stdin.end(input)
  })
  const traces = () => ({
    links: inNode('ip', '-o', 'link').split('\n').map((line) => line.split(/[:@] ?/)[1]).filter(Boolean).sort(),
    xdp: /\bxdp/.test(inNode('ip', 'link', 'show', 'eth1')),
    routes: ['-4', '-6'].flatMap((family) => inNode('ip', family, 'route', 'show', 'table', 'all').split('\n').filter((line) => /cilium|lxc|10\.244|10\.96|f00d|169\.254/.test(line))),
    qdiscs: inNode('tc', 'qdisc').split('\n').filter((line) => line.includes('clsact')).map((line) => /dev (\S+)/.exec(line)?.[1]),
    pins: fs.readdirSync(node.config.bpffs).filter((name) => !name.endsWith('.debug')), // those are the kernel's
    files: fs.globSync(['bin/**', 'net.d/**', 'state/**', 'cilium.sock'], { cwd: folder }).filter((name) => fs.lstatSync(at(name)).isFile()).sort(),
  })
  const nothing = { links: ['eth1', 'lo'], xdp: false, routes: [], qdiscs: [], pins: [], files: [] }

  test('refuses while an agent answers, asks first, then leaves nothing and can be repeated', async () => {
    expect(traces()).toEqual(nothing)
    await leftByAnAgent()
    const before = traces()
    expect(before).toMatchObject({ xdp: true, qdiscs: expect.arrayContaining(['lo', 'eth1', 'lxc10', 'cilium_host', 'cilium_vxlan']) as string[], files: expect.arrayContaining(['bin/cilium-cni', 'net.d/05-cilium.conf']) as string[] })
    const agent = http.createServer((_, response) => response.writeHead(503).end())
    await new Promise<void>((resolve) => { agent.listen(at('cilium.sock'), resolve) })
    try {
      expect(await cleanup(['-f'])).toEqual({ code: 1, out: expect.stringContaining('Agent should not be running when cleaning up') as string })
    } finally {
      await new Promise((resolve) => { agent.close(resolve) })
    }
    fs.writeFileSync(at('cilium.sock'), '') // as a killed agent leaves it
    expect(await cleanup([], 'n\n')).toEqual({ code: 0, out: expect.stringMatching(/^Warning: Destructive operation[^]*do you want to continue \[y\/N\]\?\nNothing is removed\.\n$/) as string })
    expect(traces()).toEqual({ ...before, files: [...before.files, 'cilium.sock'].sort() })
    expect(await cleanup([], 'y\n')).toMatchObject({ code: 0 })
    expect(traces()).toEqual(nothing)
    expect(await cleanup(['--force'])).toEqual({ code: 0, out: expect.stringMatching(/All of it is removed\.\n$/) as string })
  })

  test('leaves alone what is somebody else\'s; an agent that comes back finds its place', async () => {
    inNode('tc', 'qdisc', 'add', 'dev', 'eth1', 'clsact')
    inNode('tc', 'filter', 'add', 'dev', 'eth1', 'egress', 'protocol', 'ip', 'prio', '7', 'u32', 'match', 'u32', '0', '0', 'flowid', '1:1')
    await leftByAnAgent()
    fs.writeFileSync(at('net.d/10-other.conf'), '{}')
    expect(await cleanup(['-f'])).toMatchObject({ code: 0 })
    expect(traces()).toEqual({ ...nothing, qdiscs: ['eth1'], files: ['net.d/10-other.conf'] })
    expect(inNode('tc', 'filter', 'show', 'dev', 'eth1', 'egress')).toContain('pref 7')
    expect(inNode('tc', 'filter', 'show', 'dev', 'eth1', 'ingress')).toBe('')
    await leftByAnAgent()
    expect(traces()).toMatchObject({ xdp: true, links: expect.arrayContaining(['lxc10', 'cilium_host']) as string[] })
  })
})
