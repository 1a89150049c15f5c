import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KubeClient } from './k8s/client.ts'
import type { CiliumEndpoint, CiliumIdentity, CiliumNetworkPolicy, KubeList } from './k8s/types.ts'
import { controlPlaneAvailable, freePort, startControlPlane, type ControlPlane } from './testing/control-plane.ts'
import { recorded } from './testing/recorded.ts'
import { startTestAgent, type TestAgent } from './testing/test-agent.ts'
import { wayTo } from './testing/way.ts'

/** Two agents with fake datapaths against a real API server; pods are only objects, the CNI plugin is called by hand. */
describe.skipIf(!controlPlaneAvailable())('two agents in a cluster', { timeout: 60_000 }, () => {
  let plane: ControlPlane
  let kube: KubeClient
  let one: TestAgent
  let two: TestAgent

  beforeAll(async () => {
    plane = await startControlPlane()
    kube = plane.client()
    for (const n of [1, 2]) await createNode(n)
    ;[one, two] = await Promise.all([startTestAgent(plane, 'node1'), startTestAgent(plane, 'node2')])
  }, 300_000)

  afterAll(async () => {
    for (const agent of [one, two]) { await agent?.stop(); if (agent !== undefined) rmSync(agent.dir, { recursive: true, force: true }) }
    kube?.close()
    await plane?.stop()
  }, 30_000)

  const createNode = async (n: number) => {
    await kube.create('/api/v1/nodes', { metadata: { name: `node${n}` }, spec: { podCIDR: `10.244.${n}.0/24`, podCIDRs: [`10.244.${n}.0/24`] } })
    await kube.mergePatch(`/api/v1/nodes/node${n}/status`, { status: { addresses: [{ type: 'InternalIP', address: `192.168.77.1${n}` }] } })
  }
  const createPod = (name: string, node: string, labels: Record<string, string>) => kube.create('/api/v1/namespaces/default/pods', {
    metadata: { name, labels }, spec: { nodeName: node, containers: [{ name: 'c', image: 'x', ports: [{ name: 'http', containerPort: 8080 }] }], automountServiceAccountToken: false },
  })
  const sixOf = (ip: string): string => { const [, , node, pod] = ip.split('.').map(Number); return `f00d::af4:${node}00:0:${pod!.toString(16)}` }
  const endpointAt = (agent: TestAgent, ip: string) => [...agent.kernel.endpoints.values()].find(({ ipv4 }) => ipv4 === ip)!
  /** Pods a1 and b1 race for their addresses; a1 has the identity of a2, which is alone on its node. */
  const podA = () => [...one.kernel.endpoints.values()].find(({ identity }) => identity === endpointAt(two, '10.244.2.2').identity)!
  const eventually = (check: () => void | Promise<void>) => expect.poll(async () => { try { await check(); return 'ok' } catch (error) { return String(error) } }, { timeout: 10_000, interval: 20 }).toBe('ok')

  it('learn of each other', async () => {
    expect(one.kernel.tunnels).toEqual(new Map([['10.244.2.0/24', '192.168.77.12'], ['f00d::af4:200:0:0/96', '192.168.77.12']]))
    expect(two.kernel.tunnels).toEqual(new Map([['10.244.1.0/24', '192.168.77.11'], ['f00d::af4:100:0:0/96', '192.168.77.11']]))
    expect(one.kernel.ipcache.get('192.168.77.12')).toEqual({ identity: 1 })
    expect(one.kernel.ipcache.get('10.244.2.1')).toEqual({ identity: 1, node: '192.168.77.12' })
    expect(one.kernel.ipcache.get('10.244.1.1')).toEqual({ identity: 1 })
  })

  it('install the CNI plugin once they are ready', () => {
    expect(existsSync(join(one.dir, 'bin/cilium-cni'))).toBe(true)
    expect(JSON.parse(readFileSync(join(one.dir, 'net.d/05-cilium.conf'), 'utf8'))).toEqual({ cniVersion: '0.3.1', name: 'cilium', type: 'cilium-cni' })
  })

  it('give pods with the same labels one identity, even at the same time on two nodes', async () => {
    await Promise.all([createPod('a1', 'node1', { app: 'a' }), createPod('a2', 'node2', { app: 'a' }), createPod('b1', 'node1', { app: 'b' })])
    const results = await Promise.all([one.cni('ADD', { container: 'ca1', pod: 'a1' }), two.cni('ADD', { container: 'ca2', pod: 'a2' }), one.cni('ADD', { container: 'cb1', pod: 'b1' })])
    expect(results.map(({ status, answer }) => [status, answer.msg])).toEqual([[0, undefined], [0, undefined], [0, undefined]])
    const [a1 = '', a2 = '', b1 = ''] = results.map(({ answer }) => answer.ips![0]!.address.replace('/32', ''))
    expect([a1, b1].sort()).toEqual(['10.244.1.2', '10.244.1.3'])
    expect(results[0].answer).toMatchObject({ cniVersion: '0.3.1', ips: [{ version: '4', gateway: '10.244.1.1', interface: 1 }, { version: '6', address: `${sixOf(a1)}/128`, gateway: 'f00d::af4:100:0:1' }], interfaces: [{ name: expect.stringMatching(/^lxc[0-9a-f]{12}$/) as string }, { name: 'eth0', sandbox: '/var/run/netns/ca1' }] })
    const [ida1, ida2, idb1] = [endpointAt(one, a1).identity, endpointAt(two, a2).identity, endpointAt(one, b1).identity]
    expect(ida1).toBe(ida2)
    expect(ida1).not.toBe(idb1)
    expect(ida1).toBeGreaterThanOrEqual(256)
    const { items } = await kube.get<KubeList<CiliumIdentity>>('/apis/cilium.io/v2/ciliumidentities')
    expect(items!.map((it) => it.metadata.name).sort()).toEqual([String(ida1), String(idb1)].sort())
    await eventually(() => {
      expect(one.kernel.ipcache.get(a2)).toEqual({ identity: ida1, node: '192.168.77.12' })
      expect(two.kernel.ipcache.get(b1)).toEqual({ identity: idb1, node: '192.168.77.11' })
      expect(two.kernel.ipcache.get(sixOf(b1))).toEqual({ identity: idb1, node: '192.168.77.11' })
    })
    await eventually(async () => {
      const { status } = await kube.get<CiliumEndpoint>('/apis/cilium.io/v2/namespaces/default/ciliumendpoints/a1')
      expect(status).toMatchObject({ id: endpointAt(one, a1).id, state: 'ready', identity: { id: ida1, labels: ['k8s:app=a', 'k8s:io.kubernetes.pod.namespace=default'] }, networking: { addressing: [{ ipv4: a1, ipv6: sixOf(a1) }], node: '192.168.77.11' } })
    })
  })

  it('answer a repeated ADD alike, and a DEL of what is not there', async () => {
    const before = one.kernel.endpoints.size
    const again = await one.cni('ADD', { container: 'ca1', pod: 'a1' })
    expect(again.status).toBe(0)
    expect(one.kernel.endpoints.size).toBe(before)
    expect(await one.cni('CHECK', { container: 'ca1', pod: 'a1' })).toMatchObject({ status: 0 })
    const changed = endpointAt(one, again.answer.ips![0]!.address.replace('/32', ''))
    const ipv4 = changed.ipv4
    changed.ipv4 = '10.244.1.99'
    expect(await one.cni('CHECK', { container: 'ca1', pod: 'a1' })).toMatchObject({ status: 1, answer: { code: 100, msg: expect.stringMatching(/^container ca1 is not as it was added: interface eth0 has no address 10\.244\.1\.\d+\/32 \(it has 10\.244\.1\.99\/32/) as string } })
    changed.ipv4 = ipv4
    expect(await one.cni('CHECK', { container: 'nobody', pod: 'x' })).toMatchObject({ status: 1, answer: { code: 3 } })
    expect(await one.cni('DEL', { container: 'nobody', pod: 'x' })).toMatchObject({ status: 0 })
    expect(await one.cni('ADD', { container: 'cx', pod: 'nosuch' })).toMatchObject({ status: 1, answer: { code: 100, msg: expect.stringContaining('default/nosuch is not known') as string } })
  })

  it('turn policies into allowed identities, as identities come', async () => {
    const a1 = podA()
    await kube.create('/apis/networking.k8s.io/v1/namespaces/default/networkpolicies', {
      metadata: { name: 'a-from-c' }, spec: { podSelector: { matchLabels: { app: 'a' } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'c' } } }], ports: [{ port: 'http' }] }] },
    })
    await eventually(() => expect(a1.policy).toEqual({ ingress: [] }))
    await createPod('c1', 'node2', { app: 'c' })
    expect((await two.cni('ADD', { container: 'cc1', pod: 'c1' })).status).toBe(0)
    const c = endpointAt(two, '10.244.2.3').identity
    await eventually(() => expect(a1.policy).toEqual({ ingress: [{ identity: c, port: 8080, protocol: 'TCP' }] }))
    await eventually(async () => expect((await kube.get<CiliumEndpoint>('/apis/cilium.io/v2/namespaces/default/ciliumendpoints/a1')).status?.policy?.ingress.enforcing).toBe(true))
  })

  it('give prefixes identities of this node while policies name them, and say in the policy\'s status what became of it', async () => {
    const a1 = podA()
    const path = '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies'
    const before = one.kernel.calls.length
    const spec = { endpointSelector: { matchLabels: { app: 'a' } }, egress: [{ toCIDRSet: [{ cidr: '10.9.0.0/16', except: ['10.9.2.0/24'] }] }] }
    await kube.create(path, { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'out' }, spec })
    await eventually(() => expect(a1.policy.egress).toHaveLength(1))
    const [wide, narrow] = ['10.9.0.0/16', '10.9.2.0/24'].map((prefix) => one.kernel.cidrs.get(prefix)!)
    expect(wide).toBeGreaterThan(65_535)
    expect(a1.policy.egress).toEqual([{ identity: wide, port: 0, protocol: 'ANY' }])
    // The prefixes are there before the policy that tells them apart.
    const calls = one.kernel.calls.slice(before)
    expect(calls.findIndex((call) => call.startsWith('upsertCIDR 10.9.2.0/24'))).toBeLessThan(calls.findIndex((call) => call.startsWith(`setPolicy ${a1.id}`) && call.includes(String(wide))))
    expect((await one.cilium('identity', 'get', String(narrow))).out).toMatch(/cidr:10\.9\.0\.0\/16\n\s+cidr:10\.9\.2\.0\/24\n\s+reserved:world/)
    const nodes = async () => (await kube.get<CiliumNetworkPolicy>(`${path}/out`)).status?.nodes
    await eventually(async () => expect(await nodes()).toMatchObject({ node1: { ok: true, enforcing: true }, node2: { ok: true, enforcing: true } }))
    await kube.mergePatch(`${path}/out`, { spec: { egress: [{ toCIDRSet: null, toCIDR: ['10.9.0.0/99'] }] } })
    await eventually(async () => expect(await nodes()).toMatchObject({ node1: { ok: false, enforcing: true, error: expect.stringContaining('Unable to parse CIDR "10.9.0.0/99"') as string } }))
    expect(a1.policy.egress).toEqual([{ identity: wide, port: 0, protocol: 'ANY' }])
    await kube.delete(`${path}/out`)
    await eventually(() => expect(a1.policy.egress).toBeUndefined())
    await eventually(() => expect(one.kernel.cidrs.size).toBe(0))
  })

  it('import, trace and delete rules of the command line, and refuse bad ones', async () => {
    const a1 = podA()
    const file = join(one.dir, 'policy.yaml')
    const rule = (port: number) => `- endpointSelector: {matchLabels: {k8s:app: a}}\n  labels: [{key: name, value: mine}]\n  egress:\n  - toEndpoints: [{matchLabels: {k8s:app: b}}]\n    toPorts: [{ports: [{port: "${port}", protocol: TCP}]}]\n`
    writeFileSync(file, rule(99_999))
    const before = (await one.cilium('policy', 'get')).out
    for (const command of ['import', 'validate']) expect(await one.cilium('policy', command, file)).toEqual({ code: 1, out: recorded('policy-bad.txt').trimEnd() + '\n' })
    expect((await one.cilium('policy', 'get')).out).toBe(before)
    writeFileSync(file, rule(80))
    expect(await one.cilium('policy', 'validate', file)).toEqual({ code: 0, out: 'All policy elements are valid.\n' })
    expect(await one.cilium('policy', 'import', file)).toMatchObject({ code: 0, out: expect.stringMatching(/^Revision: \d+\n$/) as string })
    expect(await one.cilium('policy', 'delete', 'name=mine')).toMatchObject({ code: 0 })
    expect(await one.cilium('policy', 'import', '--print', file)).toMatchObject({ code: 0, out: expect.stringMatching(/"name"[^]*\nRevision: \d+\n$/) as string })
    expect(a1.policy.egress).toEqual([{ identity: expect.any(Number) as number, port: 80, protocol: 'TCP' }])
    expect((await one.cilium('policy', 'get', 'name=mine')).out).toContain('"k8s:app": "b"')
    const verdict = async (port: string) => (await one.cilium('policy', 'trace', '--src-endpoint', String(a1.id), '-d', 'k8s:app=b,k8s:io.kubernetes.pod.namespace=default', '--dport', port)).out.split('\n').at(-2)
    expect([await verdict('80/tcp'), await verdict('81')]).toEqual(['Final verdict: ALLOWED', 'Final verdict: DENIED'])
    await one.stop()
    await one.start()
    expect(podA().policy.egress).toHaveLength(1)
    expect(await one.cilium('policy', 'delete', 'name=other')).toEqual({ code: 1, out: 'Error: Cannot delete policy: no imported policy rule has these labels; those of Kubernetes are deleted there\n' })
    expect(await one.cilium('policy', 'delete', 'name=mine')).toMatchObject({ code: 0 })
    expect(podA().policy.egress).toBeUndefined()
  })

  it('translate services, named ports too', async () => {
    await kube.create('/api/v1/namespaces/default/services', { metadata: { name: 'web' }, spec: { clusterIP: '10.96.0.77', ports: [{ name: 'http', port: 80, targetPort: 'http' }, { name: 'dns', port: 53, protocol: 'UDP' }] } })
    await kube.create('/api/v1/namespaces/default/endpoints', { metadata: { name: 'web' }, subsets: [{ addresses: [{ ip: '10.244.1.2' }, { ip: '10.244.2.2' }], ports: [{ name: 'http', port: 8080 }] }] })
    await eventually(() => {
      expect(one.kernel.services.get('10.96.0.77:80/TCP')?.backends).toEqual([{ ip: '10.244.1.2', port: 8080 }, { ip: '10.244.2.2', port: 8080 }])
      expect(one.kernel.services.get('10.96.0.77:53/UDP')?.backends).toEqual([])
      expect(one.kernel.services.get('10.96.0.1:443/TCP')?.backends).toHaveLength(1)
    })
    await kube.delete('/api/v1/namespaces/default/services/web')
    await eventually(() => expect([...one.kernel.services.keys()]).toEqual(['10.96.0.1:443/TCP']))
  })

  it('have services of both families, of the second one by EndpointSlices', async () => {
    const path = '/api/v1/namespaces/default/services'
    await kube.create(path, { metadata: { name: 'dual' }, spec: { clusterIP: '10.96.0.78', clusterIPs: ['10.96.0.78', 'fd96::78'], ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'], type: 'NodePort', ports: [{ port: 80, nodePort: 30078 }] } })
    await kube.create('/api/v1/namespaces/default/endpoints', { metadata: { name: 'dual' }, subsets: [{ addresses: [{ ip: '10.244.1.2' }], ports: [{ port: 8080 }] }] })
    await kube.create('/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices', {
      metadata: { name: 'dual-1', labels: { 'kubernetes.io/service-name': 'dual' } }, addressType: 'IPv6', endpoints: [{ addresses: ['f00d::af4:100:0:2'], conditions: { ready: true } }], ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    })
    await eventually(() => {
      for (const key of ['10.96.0.78:80/TCP', '192.168.77.11:30078/TCP']) expect(one.kernel.services.get(key)?.backends, key).toEqual([{ ip: '10.244.1.2', port: 8080 }])
      for (const key of ['[fd96::78]:80/TCP', '[f00d::af4:100:0:1]:30078/TCP']) expect(one.kernel.services.get(key)?.backends, key).toEqual([{ ip: 'f00d::af4:100:0:2', port: 8080 }])
    })
    expect((await one.cilium('bpf', 'lb', 'list')).out).toMatch(/^\[fd96::78\]:80 +\[::\]:0 \(0\) +\n +\[f00d::af4:100:0:2\]:8080 \(\d+\)/m)
    await kube.delete(`${path}/dual`)
    await kube.delete('/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices/dual-1')
    await eventually(() => expect([...one.kernel.services.keys()]).toEqual(['10.96.0.1:443/TCP']))
  })

  it('have services made by hand, which outlive a restart, beside those of Kubernetes', async () => {
    expect((await one.cilium('service', 'update', '--id', '900', '--frontend', '10.96.9.9:80', '--backends', '10.244.1.2:8080/3,10.244.2.2:8081')).out).toBe('Creating new service with id \'900\'\nAdded service with 2 backends\n')
    expect(one.kernel.services.get('10.96.9.9:80/TCP')).toEqual({ id: 900, frontend: { ip: '10.96.9.9', port: 80, protocol: 'TCP' }, backends: [{ ip: '10.244.1.2', port: 8080, weight: 3 }, { ip: '10.244.2.2', port: 8081 }] })
    expect((await one.cilium('service', 'update', '--id', '900', '--backends', '10.244.1.2:8080')).out).toBe('Updating existing service with id \'900\'\nUpdated service with 1 backends\n')
    await one.stop()
    await one.start()
    expect((await one.cilium('service', 'get', '900')).out).toBe('10.96.9.9:80 =>\n\t\t10.244.1.2:8080 (900)\n')
    expect(await one.cilium('service', 'update', '--id', '901', '--frontend', '10.96.0.1:443', '--backends', '10.244.1.2:1')).toEqual({ code: 1, out: expect.stringMatching(/^Error: Cannot add\/update service: service \d+ \(10\.96\.0\.1:443\/TCP\) exists already\n$/) as string })
    const kubernetes = one.kernel.services.get('10.96.0.1:443/TCP')!.id
    expect(await one.cilium('service', 'delete', String(kubernetes))).toMatchObject({ code: 1, out: expect.stringContaining('is of Kubernetes') as string })
    expect(await one.cilium('service', 'delete', '900')).toEqual({ code: 0, out: 'Service 900 deleted successfully\n' })
    expect(one.kernel.services.has('10.96.9.9:80/TCP')).toBe(false)
    const six = (...backends: string[]) => one.cilium('service', 'update', '--id', '902', '--frontend', '[FD96:0::9]:80/udp', '--backends', backends.join())
    expect(await six('[f00d::1]:8080', '[f00d::2]:8080/3')).toMatchObject({ code: 0 })
    expect(one.kernel.services.get('[fd96::9]:80/UDP')).toEqual({ id: 902, frontend: { ip: 'fd96::9', port: 80, protocol: 'UDP' }, backends: [{ ip: 'f00d::1', port: 8080 }, { ip: 'f00d::2', port: 8080, weight: 3 }] })
    expect((await one.cilium('service', 'get', '902')).out).toBe('[fd96::9]:80 =>\n\t\t[f00d::1]:8080 (902)\n\t\t[f00d::2]:8080 (902)\n')
    expect(await six('10.244.1.2:8080')).toEqual({ code: 1, out: expect.stringContaining('backends: must be of the frontend\'s IP family') as string })
    expect(await six('f00d::1:8080')).toEqual({ code: 1, out: expect.stringContaining('Unable to parse backend address "f00d::1:8080"') as string })
    expect(await one.cilium('service', 'delete', '902')).toMatchObject({ code: 0 })
  })

  it('show all of it on the command line', async () => {
    const a1 = podA()
    expect(await one.cilium('status', '--brief')).toEqual({ code: 0, out: 'OK\n' })
    expect((await one.cilium('status')).out).toMatch(/^Kubernetes: {13}Ok {9}1\.20 \(v1\.20\./m)
    expect((await one.cilium('endpoint', 'list', '-o', 'jsonpath={[*].id}')).out.split(/\s+/)).toContain(String(a1.id))
    expect((await one.cilium('endpoint', 'get', String(a1.id), '-o', 'jsonpath={[0].status.identity.id}')).out).toBe(`${a1.identity}\n`)
    expect((await one.cilium('bpf', 'tunnel', 'list')).out).toBe('TUNNEL                 VALUE           \n10.244.2.0/24          192.168.77.12   \nf00d::af4:200:0:0/96   192.168.77.12   \n')
    const { id, ipv4 } = a1
    const flow = { direction: 'OUT' as const, protocol: 6, srcPort: 1, dstPort: 2, expires: 5, rxPackets: 0, rxBytes: 0, txPackets: 1, txBytes: 1, flags: 0, revnat: 0, sourceIdentity: 1 }
    one.kernel.connections = [{ ...flow, src: ipv4, dst: '10.9.9.1' }, { ...flow, src: '10.9.9.2', dst: a1.ipv6! }, { ...flow, src: '10.9.9.3', dst: '10.9.9.4' }]
    const connections = async (of: string) => (await one.answer('bpf', 'ct', 'list', of, '-o', 'jsonpath={[*].dst}')).out
    expect([await connections('global'), await connections(String(id))]).toEqual([`10.9.9.1 ${a1.ipv6} 10.9.9.4\n`, `10.9.9.1 ${a1.ipv6}\n`])
    expect(await one.answer('bpf', 'ct', 'list', 'all')).toEqual({ code: 1, out: 'Error: Unable to open map: endpoint all not found\n' })
    expect(JSON.parse((await one.answer('bpf', 'lb', 'list', '--revnat', '-o', 'json')).out)).toEqual({ [String(one.kernel.services.get('10.96.0.1:443/TCP')!.id)]: ['10.96.0.1:443'] })
    expect((await one.answer('map', 'list')).out).toMatch(/^Name +Num entries +Num errors +Cache enabled\ncilium_lxc +\d+ +0 +false\n/)
    const ids = async (...args: string[]) => (await one.answer('identity', ...args, '-o', 'jsonpath={[*].id}')).out
    expect([await ids('list', 'k8s:app=a'), await ids('list', 'app=a', 'io.kubernetes.pod.namespace=default'), await ids('get', '--label', 'k8s:app=a'), await ids('list', 'other:app=a')]).toEqual([`${a1.identity}\n`, `${a1.identity}\n`, `${a1.identity}\n`, '\n'])
    expect(await one.answer('identity', 'get', '--label', 'app=nobody')).toEqual({ code: 1, out: 'Error: Cannot get identity for given labels app=nobody: none has them\n' })
    expect((await one.answer('endpoint', 'get', '-l', 'app=a', '-o', 'jsonpath={[*].id}')).out).toBe(`${id}\n`)
    expect(await one.answer('endpoint', 'get')).toMatchObject({ code: 1, out: expect.stringContaining('-l with labels, is required') as string })
    expect((await one.answer('cilium-health', 'get')).out).toMatch(/^Daemon uptime: +\d+s *\nNode load: +\d+\.\d\d \d+\.\d\d \d+\.\d\d *\nKVStore: +Ok/)
    expect((await one.cilium('policy', 'get')).out).toMatch(/"endpointSelector": \{[\s\S]*Revision: \d+\n$/)
    expect((await one.cilium('bpf', 'policy', 'get', String(a1.id), '-n')).out).toMatch(/^DIRECTION {3}IDENTITY {3}PORT\/PROTO/)
    expect(await one.cilium('endpoint', 'get', '0')).toEqual({ code: 1, out: 'Error: Cannot get endpoint 0: endpoint 0 not found\n' })
    expect((await one.cilium('config', 'PolicyEnforcement=never')).code).toBe(0)
    await eventually(() => expect(a1.policy).toEqual({}))
    expect((await one.cilium('config')).out).toContain('PolicyEnforcement        never\n')
    expect(await one.cilium('config', 'PolicyEnforcement=default')).toEqual({ code: 0, out: '' })
    await eventually(() => expect(a1.policy.ingress).toHaveLength(1))
  })

  it('count, and show it on the command line', async () => {
    one.kernel.metrics = [{ reason: 0, direction: 'ingress', packets: 7, bytes: 700 }, { reason: 133, direction: 'ingress', packets: 3, bytes: 180 }, { reason: 2, direction: 'egress', packets: 1, bytes: 60 }, { reason: 134, direction: 'egress', packets: 2, bytes: 60 }]
    const bad = '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies'
    await kube.create(bad, { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'bad' }, spec: { endpointSelector: {}, egress: [{ toCIDR: ['10.9.0.0/99'] }] } })
    await eventually(async () => expect((await one.answer('metrics', 'list', '-p', 'import_errors')).out).toContain('1.000000'))
    await kube.delete(`${bad}/bad`)
    await eventually(async () => expect((await one.answer('metrics', 'list', '-p', 'policy_count')).out).toContain('1.000000'))
    const samples = JSON.parse((await one.answer('metrics', 'list', '-o', 'json')).out) as { name: string; labels: Record<string, string>; value: number }[]
    const value = (name: string, labels: Record<string, string> = {}) => samples.find((it) => it.name === `cilium_${name}` && Object.entries(labels).every(([key, text]) => it.labels[key] === text))?.value
    expect(value('endpoint_count')).toBe(one.kernel.endpoints.size)
    expect(value('endpoint_state', { endpoint_state: 'ready' })).toBe(one.kernel.endpoints.size)
    expect(value('drop_count_total', { reason: 'Policy denied (L3)', direction: 'INGRESS' })).toBe(3)
    // Two numbers of one reason are one sample.
    expect(value('drop_count_total', { reason: 'Invalid packet', direction: 'EGRESS' })).toBe(3)
    expect(value('forward_count_total', { direction: 'INGRESS' })).toBe(7)
    expect(value('policy_count')).toBe(1)
    expect(value('policy_import_errors')).toBe(1)
    expect(value('endpoint_regenerations', { outcome: 'success' })).toBeGreaterThan(1)
    one.kernel.conntrack = [{ table: 'cilium_ct4_global', family: 'ipv4', capacity: 100, alive: { tcp: 30, other: 20 }, deleted: { tcp: 2, other: 1 } }]
    one.datapath().emit({ cpu: 0, lost: 4 })
    const conntrack = async () => (await one.answer('metrics', 'list', '-p', 'conntrack|lost|pressure|l7|redirects')).out
    await eventually(async () => expect(await conntrack()).toMatch(/^cilium_datapath_conntrack_gc_entries +family="ipv4" protocol="TCP" status="alive" +30\.0+$/m))
    for (const line of [/^cilium_datapath_conntrack_gc_entries .*"non-TCP" status="deleted" +1\.0+$/m, /^cilium_datapath_conntrack_gc_runs_total +status="completed" +[1-9]/m, /^cilium_monitor_lost_events_total +4\.0+$/m, /^cilium_bpf_map_pressure +map_name="lxc" +0\.\d+$/m, /^cilium_proxy_redirects +0\.0+$/m, /^cilium_policy_l7_denied_total +0\.0+$/m])
      expect(await conntrack()).toMatch(line)
    one.kernel.conntrack = []
    one.kernel.metrics[0]!.packets = 8
    expect((await one.answer('metrics', 'list', '-p', 'forward_count')).out).toMatch(/^Metric +Labels +Value\ncilium_forward_count_total +direction="INGRESS" +8\.000000\n$/)
    expect(await one.answer('metrics', 'list', '-p', '(')).toMatchObject({ code: 1, out: expect.stringContaining('Cannot compile regex') as string })
  })

  it('keep out what the datapath refuses, go on with the rest, tell of it, and make up for it', async () => {
    const [a1, b1] = [podA(), [...one.kernel.endpoints.values()].find(({ id }) => id !== podA().id)!]
    const path = '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies'
    const create = (name: string, spec: object) => kube.create(path, { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name }, spec })
    const monitor = one.monitor('-t', 'agent')
    try {
      await eventually(() => expect(monitor.lines()[0]).toMatch(/^Listening/))
      one.kernel.refused = ['upsertCIDR 10.9.2.0/24', `setPolicy ${b1.id}`, 'upsertService {"id":901']
      await create('out', { endpointSelector: { matchLabels: { app: 'a' } }, egress: [{ toCIDRSet: [{ cidr: '10.9.0.0/16', except: ['10.9.2.0/24'] }] }, { toCIDR: ['10.8.0.0/16'] }] })
      await create('quiet', { endpointSelector: { matchLabels: { app: 'b' } }, egress: [{}] })
      const failing = `10.9.2.0/24, endpoint ${b1.id}: the map is full`
      await eventually(async () => expect(await one.answer('status', '--brief')).toEqual({ code: 1, out: `error in controller policy-sync: ${failing}\n` }))
      expect(await one.answer('status')).toMatchObject({ code: 0, out: expect.stringContaining(failing) as string })
      expect(one.log.filter((line) => line.includes('Controller failed, retrying')).at(-1)).toContain(failing)
      // Of the first rule the exception can't be told from the rest; several tries later too.
      const allowed = () => (a1.policy.egress ?? []).map(({ identity }) => identity)
      const tries = () => one.kernel.calls.filter((call) => call.startsWith('upsertCIDR 10.9.2.0/24')).length
      await eventually(() => expect(tries()).toBeGreaterThan(2))
      expect(allowed()).toEqual([one.kernel.cidrs.get('10.8.0.0/16')])
      expect(one.kernel.cidrs.has('10.9.2.0/24')).toBe(false)

      const log = await one.answer('endpoint', 'log', String(b1.id))
      expect(log.out.split('\n')[1]).toMatch(/Failure +not-ready +Error regenerating endpoint: the map is full/)
      expect((await one.answer('endpoint', 'list')).out).toMatch(new RegExp(`^${b1.id} .* not-ready`, 'm'))
      expect((await one.answer('endpoint', 'health', String(b1.id))).out).toMatch(/^Policy Health: +Failure$/m)
      await eventually(() => expect(monitor.lines()).toContainEqual(expect.stringMatching(new RegExp(`^>> Failed endpoint regeneration: \\{"id":${b1.id},"labels":\\[.*\\],"error":"the map is full"\\}$`))))
      await eventually(async () => expect((await kube.get<CiliumEndpoint>('/apis/cilium.io/v2/namespaces/default/ciliumendpoints/b1')).status?.state).toBe('not-ready'))

      const nodes = async (name: string) => (await kube.get<CiliumNetworkPolicy>(`${path}/${name}`)).status?.nodes
      await eventually(async () => expect(await nodes('out')).toMatchObject({ node1: { ok: false, enforcing: true, error: '10.9.2.0/24: the map is full' }, node2: { ok: true } }))
      await eventually(async () => expect(await nodes('quiet')).toMatchObject({ node1: { ok: false, error: `endpoint ${b1.id}: the map is full` } }))

      const file = join(one.dir, 'more.yaml')
      writeFileSync(file, '- endpointSelector: {matchLabels: {k8s:app: a}}\n  labels: [{key: name, value: more}]\n  egress:\n  - toCIDR: [10.7.0.0/16]\n')
      const kept = 'the map is full (the change is kept, and tried again until it succeeds)\n'
      expect(await one.answer('policy', 'import', file)).toEqual({ code: 1, out: `Error: Cannot import policy: 10.9.2.0/24, endpoint ${b1.id}: ${kept}` })
      expect(allowed()).toHaveLength(2)
      expect(await one.answer('policy', 'delete', 'name=more')).toEqual({ code: 1, out: `Error: Cannot delete policy: 10.9.2.0/24, endpoint ${b1.id}: ${kept}` })
      const update = (id: string, ip: string) => one.answer('service', 'update', '--id', id, '--frontend', `${ip}:80`, '--backends', '10.244.1.2:8080')
      expect(await update('901', '10.96.9.1')).toEqual({ code: 1, out: `Error: Cannot add/update service: ${kept}` })
      expect(await update('902', '10.96.9.2')).toMatchObject({ code: 0 })
      // A pod that comes meanwhile is served.
      await createPod('f1', 'node1', { app: 'f' })
      expect(await one.cni('ADD', { container: 'cf1', pod: 'f1' })).toMatchObject({ status: 0 })

      one.kernel.refused = []
      for (const answer of [await one.answer('policy', 'import', file), await one.answer('policy', 'delete', 'name=more'), await update('902', '10.96.9.2')]) expect(answer).toMatchObject({ code: 0 })
      await eventually(async () => expect(await one.answer('status', '--brief')).toEqual({ code: 0, out: 'OK\n' }))
      await eventually(async () => expect(await nodes('out')).toMatchObject({ node1: { ok: true } }))
      expect(allowed().sort()).toEqual(['10.8.0.0/16', '10.9.0.0/16'].map((prefix) => one.kernel.cidrs.get(prefix)).sort())
      expect(b1.policy).toEqual({ egress: [] })
      expect((await one.answer('endpoint', 'log', String(b1.id))).out.split('\n')[1]).toMatch(/OK +ready +Successfully regenerated/)
      expect(one.kernel.services.has('10.96.9.1:80/TCP')).toBe(true)
    } finally {
      one.kernel.refused = []
      monitor.stop()
    }
    for (const name of ['out', 'quiet']) await kube.delete(`${path}/${name}`)
    expect((await one.cni('DEL', { container: 'cf1', pod: 'f1' })).status).toBe(0)
    await kube.delete('/api/v1/namespaces/default/pods/f1?gracePeriodSeconds=0')
    for (const id of ['901', '902']) expect(await one.answer('service', 'delete', id)).toMatchObject({ code: 0 })
    await eventually(() => expect([a1.policy.egress, b1.policy, one.kernel.cidrs.size]).toEqual([undefined, {}, 0]))
  })

  it('deny prefixes, which outlives a restart, and refuse what is none', async () => {
    expect((await one.answer('prefilter', 'list')).out).toBe('Revision: 1\n')
    expect((await one.answer('prefilter', 'update', '--cidr', '10.9.1.7/24,10.8.0.0/16', '--revision', '1')).out).toBe('Revision: 2\n10.8.0.0/16\n10.9.1.0/24\n')
    expect(one.kernel.denied).toEqual(['10.8.0.0/16', '10.9.1.0/24'])
    expect(await one.answer('prefilter', 'update', '--cidr', '10.7.0.0/16', '--revision', '1')).toEqual({ code: 1, out: 'Error: Cannot update CIDR list: Latest revision is 2 not 1\n' })
    expect(await one.answer('prefilter', 'update', '--cidr', '10.7.0.0/33')).toMatchObject({ code: 1, out: expect.stringContaining('"10.7.0.0/33" is not an IPv4 prefix') as string })
    for (const all of ['0.0.0.0/0', '10.9.0.0/0', '::/0']) expect(await one.answer('prefilter', 'update', '--cidr', all)).toMatchObject({ code: 1, out: expect.stringContaining('/0 would cut this node off') as string })
    expect((await one.answer('status')).out).toMatch(/^XDP prefilter: +generic$/m)
    expect(await one.answer('prefilter', 'delete', '--cidr', '10.7.0.0/16')).toMatchObject({ code: 1, out: expect.stringContaining('10.7.0.0/16 is not denied') as string })
    await one.stop()
    one.kernel.denied = []
    await one.start()
    expect(one.kernel.denied).toEqual(['10.8.0.0/16', '10.9.1.0/24'])
    expect((await one.answer('prefilter', 'list', '-o', 'jsonpath={.status.realized.deny[0]}')).out).toBe('10.8.0.0/16\n')
    expect((await one.answer('prefilter', 'delete', '--cidr', '10.8.0.0/16,10.9.1.0/24')).out).toBe('Revision: 3\n')
    expect(one.kernel.denied).toEqual([])
    expect((await one.answer('status')).out).not.toContain('XDP prefilter')
    expect((await one.answer('prefilter', 'update', '--cidr', 'FD00:0::7/8')).out).toBe('Revision: 4\nfd00::/8\n')
    expect((await one.answer('prefilter', 'delete', '--cidr', 'fd00::/8')).out).toBe('Revision: 5\n')
  })

  it('change options, all or none, and look after single endpoints', async () => {
    const id = String(podA().id)
    expect(await one.answer('config', 'Debug=enable')).toEqual({ code: 0, out: '' })
    expect(one.kernel.calls.at(-1)).toBe('setDebug true')
    expect((await one.answer('config', '-o', 'jsonpath={.realized.options.Debug}')).out).toBe('Enabled\n')
    expect(await one.answer('config', 'Debug=disable', 'PolicyEnforcement=perhaps')).toMatchObject({ code: 1, out: expect.stringContaining('PolicyEnforcement="perhaps": must be default, always or never') as string })
    expect(await one.answer('config', 'Debg=enable')).toMatchObject({ code: 1, out: expect.stringContaining('did you mean "Debug"?') as string })
    expect((await one.answer('endpoint', 'config', id)).out).toMatch(/^Debug +Enabled$/m)
    await one.answer('config', 'Debug=disable')
    expect(await one.answer('endpoint', 'regenerate', id)).toEqual({ code: 0, out: `Endpoint ${id} successfully regenerated\n` })
    expect((await one.answer('endpoint', 'log', id)).out).toMatch(/OK +ready +Successfully regenerated endpoint program due to requested on the command line/)
    // Its interface is nowhere on this machine.
    expect((await one.answer('endpoint', 'health', id)).out).toBe('Overall Health:   Failure\nBPF Health:       OK\nPolicy Health:    OK\nConnected:        no\n')
  })

  it('change what the monitor is told of one endpoint, over a restart too', async () => {
    const [first, other] = [...one.kernel.endpoints.values()].map(({ id }) => id) as [number, number]
    const config = async (id: number) => (await one.answer('endpoint', 'config', String(id))).out
    expect(await one.answer('endpoint', 'config', String(first), 'Debug=enable', 'TraceNotification=disable')).toEqual({ code: 0, out: `Endpoint ${first} configuration updated successfully\n` })
    expect(one.kernel.calls.at(-1)).toBe('setDebug true')
    expect(await config(first)).toMatch(/^Debug +Enabled$[^]*^TraceNotification +Disabled$/m)
    expect(await config(other)).toMatch(/^Debug +Disabled$[^]*^TraceNotification +Enabled$/m)
    expect(await one.answer('endpoint', 'config', String(first), 'Debug=disable', 'Conntrack=disable')).toMatchObject({ code: 1, out: expect.stringContaining('Conntrack can\'t be changed while the agent runs; Debug, DropNotification, TraceNotification can') as string })
    expect(await one.answer('endpoint', 'config', String(first), 'Debug=perhaps')).toMatchObject({ code: 1, out: expect.stringContaining('must be enable or disable') as string })
    await one.stop()
    await one.start()
    expect(one.kernel.calls.findLast((call) => call.startsWith('setDebug'))).toBe('setDebug true')
    const monitor = one.monitor('-j')
    try {
      await eventually(() => expect(monitor.lines()[0]).toMatch(/^Listening/))
      const [debug, trace] = [2, 4]
      for (const [type, length] of [[debug, 20], [trace, 32]] as const) for (const source of [first, other]) {
        const data = Buffer.alloc(length)
        data.set([type, 1]); data.writeUInt16LE(source, 2)
        one.datapath().emit({ cpu: 0, data })
      }
      one.datapath().emit({ cpu: 0, lost: 3 })
      await eventually(() => expect(monitor.lines()).toContain('CPU 00: Lost 3 events'))
      const told = monitor.lines().filter((line) => line.startsWith('{"')).map((line) => JSON.parse(line) as { type: string; source?: number })
      expect(told.filter(({ type }) => type === 'debug' || type === 'trace').map(({ type, source }) => [type, source])).toEqual([['debug', undefined], ['trace', other]]) // JSON of debug events names no endpoint: one came of two.
    } finally { monitor.stop() }
    await one.answer('endpoint', 'config', String(first), 'Debug=disable', 'TraceNotification=enable')
    expect(one.kernel.calls.at(-1)).toBe('setDebug false')
  })

  it('gather all of it for a bug report, with what is wrong where there is no agent', async () => {
    const path = join(one.dir, 'report.tar')
    expect(await one.answer('bugtool', '-o', path)).toEqual({ code: 0, out: `\nARCHIVE at ${path}\n` })
    const list = execFileSync('tar', ['-tf', path], { encoding: 'utf8' }).split('\n')
    const file = list.find((name) => name.endsWith('/cmd/cilium-endpoint-list.md')) ?? expect.fail(list.join('\n'))
    expect(execFileSync('tar', ['-xOf', path, file], { encoding: 'utf8' })).toContain('10.244.1.2')
    expect(list.some((name) => name.endsWith('/files/proc/version'))).toBe(true)
    expect(await one.answer('bugtool', '-o', 'zip')).toMatchObject({ code: 1, out: expect.stringContaining('must be one of [tar, gz]') as string })
    expect(await one.answer('bugtool', '-t', '/nonexistent')).toMatchObject({ code: 1, out: expect.stringContaining('Failed to create archive') as string })
  })

  it('stream events to a monitor, which survives a restart', async () => {
    const monitor = one.monitor('-j')
    try {
      await eventually(() => expect(monitor.lines()[0]).toBe('Listening for events on 2 CPUs with 64x4096 of shared memory'))
      const drop = Buffer.alloc(32 + 42)
      drop.set([1, 133], 0); drop.writeUInt16LE(7, 2); drop.writeUInt32LE(42, 8); drop.writeUInt32LE(42, 12); drop.writeUInt32LE(1, 28)
      one.datapath().emit({ cpu: 1, data: drop })
      one.datapath().emit({ cpu: 0, lost: 12 })
      await eventually(() => expect(monitor.lines()).toContain('CPU 00: Lost 12 events'))
      expect(JSON.parse(monitor.lines().find((line) => line.includes('"drop"'))!)).toMatchObject({ cpu: 'CPU 01:', type: 'drop', reason: 'Policy denied (L3)', source: 7, bytes: 42, ifindex: 'lo' })
      await one.stop()
      await one.start()
      await eventually(() => {
        one.datapath().emit({ cpu: 0, lost: 13 })
        expect(monitor.lines()).toContain('CPU 00: Lost 13 events')
      })
    } finally { monitor.stop() }
  })

  it('follow a pod whose labels change', async () => {
    const before = endpointAt(two, '10.244.2.3').identity
    await kube.mergePatch('/api/v1/namespaces/default/pods/c1', { metadata: { labels: { app: 'd' } } })
    await eventually(() => expect(endpointAt(two, '10.244.2.3').identity).not.toBe(before))
    await eventually(() => expect(one.kernel.ipcache.get('10.244.2.3')?.identity).toBe(endpointAt(two, '10.244.2.3').identity))
  })

  it('restart without a moment of other policy, addresses or services', async () => {
    const state = () => JSON.stringify([[...one.kernel.endpoints], [...one.kernel.ipcache].sort(), [...one.kernel.tunnels], [...one.kernel.services]])
    const before = state()
    await one.stop()
    expect(state()).toBe(before)
    one.kernel.calls.length = 0
    await one.start()
    expect(state()).toBe(before)
    expect(one.kernel.calls.filter((call) => !call.startsWith('adoptEndpoint') && !call.startsWith('setPolicy'))).toEqual([])
    expect((await one.cni('ADD', { container: 'ca1', pod: 'a1' })).status).toBe(0)
  })

  it('forget a pod on DEL, and while no agent ran', async () => {
    expect((await two.cni('DEL', { container: 'cc1', pod: 'c1' })).status).toBe(0)
    await eventually(() => expect(one.kernel.ipcache.has('10.244.2.3')).toBe(false))
    const ip = [...one.kernel.endpoints.values()].find(({ identity }) => identity !== endpointAt(two, '10.244.2.2').identity)!.ipv4
    await one.stop()
    await kube.delete('/api/v1/namespaces/default/pods/b1?gracePeriodSeconds=0')
    await one.start()
    expect(endpointAt(one, ip)).toBeUndefined()
    await eventually(() => expect(two.kernel.ipcache.has(ip)).toBe(false))
  })

  it('remove identities that nobody has, and none that somebody takes', async () => {
    const path = '/apis/cilium.io/v2/ciliumidentities'
    const ids = async () => ((await kube.get<KubeList<CiliumIdentity>>(path)).items ?? []).map(({ metadata }) => Number(metadata.name))
    const used = endpointAt(two, '10.244.2.2').identity
    await kube.create(path, { apiVersion: 'cilium.io/v2', kind: 'CiliumIdentity', metadata: { name: '777' }, 'security-labels': { 'k8s:app': 'gone', 'k8s:io.kubernetes.pod.namespace': 'default' } })
    await kube.mergePatch(`${path}/${used}`, { metadata: { annotations: { 'cilium.io/unused': 'true' } } })
    await eventually(async () => expect((await kube.get<CiliumIdentity>(`${path}/${used}`)).metadata.annotations ?? {}).toEqual({}))
    await eventually(async () => expect(await ids()).not.toContain(777))
    await createPod('e1', 'node2', { app: 'd' })
    expect((await two.cni('ADD', { container: 'ce1', pod: 'e1' })).status).toBe(0)
    await eventually(async () => expect((await ids()).sort()).toEqual([...new Set([...one.kernel.endpoints.values(), ...two.kernel.endpoints.values()].map(({ identity }) => identity))].sort()))
    expect(await ids()).toContain(used)
  })

  it('tell kubelet to come back while they are down', async () => {
    await one.stop()
    expect(await one.cni('ADD', { container: 'late', pod: 'a1' })).toMatchObject({ status: 1, answer: { code: 11, msg: expect.stringContaining('is not reachable') as string } })
    await one.start()
  })

  it('can be asked from their start on, whoever is away: by status, probes, monitor and maps; and pods are told to come back', async () => {
    const way = await wayTo(plane.server)
    const port = await freePort()
    await createNode(3)
    const three = await startTestAgent({ ...plane, server: way.server }, 'node3', [`--agent-health-port=${port}`])
    const probe = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status
    const brief = async () => { const { code, out } = await three.answer('status', '--brief'); return `${code}: ${out}` }
    try {
      expect([await probe('/livez'), await probe('/healthz')]).toEqual([200, 200])
      await three.stop()
      await way.cut()
      three.kernel.conntrack = [{ table: 'cilium_ct4_global', family: 'ipv4', capacity: 10, alive: { tcp: 10, other: 0 }, deleted: { tcp: 0, other: 0 } }]
      const again = three.start()
      await eventually(async () => expect(await brief()).toMatch(/^1: error in kubernetes: \/api\/v1\/nodes: .*ECONNREFUSED/))
      expect([await probe('/livez'), await probe('/healthz')]).toEqual([200, 503])
      await eventually(async () => expect(await three.answer('status')).toMatchObject({ code: 1, out: expect.stringMatching(/^Cilium: +Failure +starting: waiting for Kubernetes to list nodes, namespaces, .*\nNodeMonitor: +Listening/m) as string }))
      await eventually(async () => expect((await three.answer('status')).out).toContain('cilium_ct4_global is 100 % full (10 connections)'))
      const monitor = three.monitor()
      await eventually(() => expect(monitor.lines()[0]).toMatch(/^Listening/))
      expect(await three.answer('bpf', 'tunnel', 'list')).toMatchObject({ code: 0, out: expect.stringContaining('10.244.2.0/24') as string })
      expect(await three.answer('endpoint', 'list')).toEqual({ code: 1, out: expect.stringMatching(/^Error: cannot get endpoint list: starting: waiting for Kubernetes to list /) as string })
      expect(await three.cni('ADD', { container: 'early', pod: 'a1' })).toMatchObject({ status: 1, answer: { code: 11, msg: expect.stringMatching(/starting: .*; pods are served once it is ready/) as string } })
      expect(three.log.some((line) => line.includes('going on with this node as it was'))).toBe(true)
      await way.restore()
      await again
      await eventually(() => probe('/healthz').then((status) => expect(status).toBe(200)))
      three.datapath().emit({ cpu: 0, lost: 7 })
      await eventually(() => expect(monitor.lines()).toContain('CPU 00: Lost 7 events'))
      monitor.stop()

      // Nothing is remembered after a reboot.
      await three.stop()
      await way.cut()
      rmSync(join(three.dir, 'state/node.json'))
      const anew = three.start()
      await eventually(async () => expect(await three.answer('status')).toMatchObject({ code: 1, out: expect.stringMatching(/^Kubernetes: +Failure .*ECONNREFUSED[^]*^NodeMonitor: +Disabled/m) as string }))
      expect(await three.answer('monitor')).toMatchObject({ code: 1, out: expect.stringContaining('Cannot open monitor: starting: waiting for Kubernetes') as string })
      await way.restore()
      await anew
      expect(await probe('/healthz')).toBe(200)
    } finally {
      await way.restore()
      await three.stop()
      await way.close()
      rmSync(three.dir, { recursive: true, force: true })
    }
  })
})
