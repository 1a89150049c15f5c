/** CHECK against a container's namespace, on this machine's kernel. Needs root, clang and iproute2. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ipv6Of, Lab, type Agent, type LabNode, type Pod } from '../datapath/testing/lab.ts'
import { compile } from '../datapath/testing/world.ts'
import type { InspectedEndpoint } from '../datapath/types.ts'
import { differences, type CNIResult } from './check.ts'

describe.skipIf(process.getuid?.() !== 0)('a container\'s interface', { timeout: 60_000 }, () => {
  let folder: string, lab: Lab, node: LabNode, agent: Agent, pod: Pod, promised: CNIResult
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-check-'))
    lab = new Lab()
    node = lab.node(1, compile(folder), { ipv6: ipv6Of(1) })
    lab.wire(node)
    agent = await node.start()
    pod = await node.addPod(10, 1010)
    const { routerIPv4, ipv6 } = node.config
    promised = {
      interfaces: [{ name: 'lxc10', mac: pod.link.nodeMac }, { name: 'eth0', mac: pod.link.mac, sandbox: netns() }], ips: [{ interface: 1, address: `${pod.ip}/32` }, { interface: 1, address: `${pod.ip6}/128` }],
      routes: [{ dst: `${routerIPv4}/32` }, { dst: '0.0.0.0/0', gw: routerIPv4 }, { dst: `${ipv6!.router}/128` }, { dst: '::/0', gw: ipv6!.router }],
    }
  }, 60_000)
  afterAll(async () => {
    await lab.close()
    fs.rmSync(folder, { recursive: true })
  })

  const netns = () => `/var/run/netns/${pod.netns}`
  const inside = (...args: string[]) => execFileSync('ip', ['-n', pod.netns, ...args])
  const wrong = async () => differences(promised, await agent.call<InspectedEndpoint>('inspectEndpoint', { netns: netns(), containerInterface: 'eth0', hostInterface: 'lxc10' }), { netns: netns(), ifname: 'eth0', hostInterface: 'lxc10' })

  test('is seen as it was made, and with what somebody changes there', async () => {
    expect(await wrong()).toEqual([])
    inside('route', 'replace', 'default', 'via', node.config.routerIPv4, 'dev', 'eth0', 'metric', '5')
    inside('addr', 'add', '10.9.9.9/24', 'dev', 'eth0')
    expect(await wrong()).toEqual([])
    inside('route', 'del', 'default')
    inside('route', 'del', 'default')
    expect(await wrong()).toEqual([expect.stringMatching(/^there is no route to 0\.0\.0\.0\/0 \(there are routes to .*10\.244\.1\.1\/32/)])
    inside('route', 'add', 'default', 'via', node.config.routerIPv4, 'dev', 'eth0')
    expect(await wrong()).toEqual([])
    inside('addr', 'del', `${pod.ip6}/128`, 'dev', 'eth0')
    expect(await wrong()).toEqual([`interface eth0 has no address ${pod.ip6}/128 (it has ${pod.ip}/32, 10.9.9.9/24)`])
    inside('addr', 'add', `${pod.ip6}/128`, 'dev', 'eth0', 'nodad')
    inside('link', 'set', 'eth0', 'down')
    expect(await wrong()).toContain('interface eth0 is down')
  })

  test('that is gone is told, and so is the namespace', async () => {
    inside('link', 'del', 'eth0')
    expect(await wrong()).toEqual(['interface lxc10 of the host is gone', 'interface eth0 is gone'])
    await expect(agent.call('inspectEndpoint', { netns: '/var/run/netns/nowhere', containerInterface: 'eth0', hostInterface: 'lxc10' })).rejects.toThrow(/nowhere.*sandbox gone/)
  })
})
