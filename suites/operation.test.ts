import { describe, expect, needs, PORT, sumOf, test, type AgentOnNode } from '../fixtures/index.ts'

const slotA = { matchLabels: { slot: 'a' } }
const denied = { reason: /^Policy denied/ }

/** What `cilium status --brief` says, and whether it succeeds. */
async function brief(agent: AgentOnNode): Promise<string> {
  const { stdout, stderr, exitCode } = await agent.attempt(['status', '--brief'])
  return `${exitCode === 0 ? 'success' : 'failure'}: ${`${stdout}${stderr}`.trim()}`
}

describe('the status of an agent', needs('agent:endpoints', 'own-agent', 'wire', 'node:exec'), () => {
  test('is OK in brief; without the API server it is an error that says so, until it is back', async ({ nodes, agent, controlPlaneLink }) => {
    const node = nodes.at(-1) ?? expect.fail('no node')
    const status = () => brief(agent(node))
    await expect.poll(status, { timeout: 20_000, interval: 500 }).toBe('success: OK')
    const restore = await controlPlaneLink.cut(node)
    try {
      await expect.poll(status, { timeout: 60_000, interval: 500 }).toMatch(/^failure: error in kubernetes: /)
    } finally {
      await restore()
    }
    await expect.poll(status, { timeout: 60_000, interval: 500 }).toBe('success: OK')
  })

  test('tells which nodes can be reached', needs('agent:health'), async ({ nodes, agent }) => {
    for (const node of nodes) {
      const status = () => agent(node).exec(['status', '--verbose']).then(({ stdout }) => stdout)
      await expect.poll(status, { timeout: 150_000, interval: 1000 }).toMatch(new RegExp(`^Cluster health: +${nodes.length}/${nodes.length} reachable `, 'm'))
      const text = await status()
      for (const { ip } of nodes) expect.soft(text).toMatch(new RegExp(`^  \\S+.* ${ip.replaceAll('.', '\\.')} +true +true *$`, 'm'))
    }
  })
})

describe('what the datapath refuses', needs('agent:refusals', 'agent:endpoints', 'agent:ipv6', 'agent:network-policy', 'agent:cilium-network-policy', 'node:exec'), () => {
  test('is told with the reason, lets nothing through, and holds up nothing else', async ({ pods, policies, nodes, agent, outside6 }) => {
    const { a1, a2, b1, b2, client1, client2 } = pods
    const client = client1.v6, protocol = 'icmp' as const
    const agents = nodes.map(({ name }) => agent(name))
    await expect(client).toReach(outside6.two, { protocol })
    // With the prefix itself these are 17 lengths.
    const except = [...Array.from({ length: 15 }, (_, i) => `fd09:8000::/${17 + i}`), 'fd09:2::/65']
    const policy = await policies.cilium('17-lengths', { endpointSelector: { matchLabels: { app: 'client' } }, egress: [{ toCIDRSet: [{ cidr: outside6.prefix, except }] }] }, [client1, client2], 'egress')
    for (const each of agents) await expect.poll(() => brief(each), { timeout: 30_000, interval: 500 }).toMatch(/^failure: error in controller \S+: .*17 lengths.*16 are possible/)
    for (const each of agents) expect.soft((await each.exec(['status'])).stdout).toMatch(/^ {2}policy-sync .*17 lengths.*16 are possible/m)
    await expect.soft(client).not.toReach(outside6.two, { protocol })
    const other = await policies.network('nobody', { podSelector: slotA, policyTypes: ['Ingress'] }, [a1, a2])
    await Promise.all([expect.soft(b1).toReach(b2), expect.soft(b1).not.toReach(a1), expect.soft(b1).not.toReach(a2)])
    for (const each of agents) expect.soft(await brief(each)).toMatch(/^failure: error in controller /)
    await other.remove()
    await policy.remove()
    for (const each of agents) await expect.poll(() => brief(each), { timeout: 60_000, interval: 500 }).toBe('success: OK')
    await expect(client).toReach(outside6.two, { protocol })
  })
})

describe('cilium-health', needs('agent:health-cli', 'own-agent', 'wire'), () => {
  test('tells of every node and its endpoint whether it answers, and who is cut off', async ({ nodes, agent, wire }) => {
    const [node, far] = nodes
    if (!node || !far) expect.fail('two nodes are needed')
    /** By node, what is said of the ways to it. */
    const probe = async () => {
      const { stdout } = await agent(node).program(['cilium-health', 'status', '--probe'])
      const ways = (text: string) => [...text.matchAll(/^ +(Host|Endpoint) connectivity|^ +(?:ICMP|HTTP)[^:]*: +(.*)$/gm)].map(([, what, said = '']) => what ?? (said.startsWith('OK') ? 'OK' : 'failed'))
      return Object.fromEntries(stdout.split(/^ {2}(?=\S)/m).slice(1).map((text): [string, string[]] => [text.split(/ \(localhost\)|:/)[0] ?? '', ways(text)]))
    }
    const all = (said: string) => ['Host', said, said, 'Endpoint', said, said]
    expect(await probe()).toEqual(Object.fromEntries(nodes.map(({ name }) => [name, all('OK')])))
    await wire.cut(node.name, far.name)
    try {
      expect(await probe()).toMatchObject({ [node.name]: all('OK'), [far.name]: all('failed') })
    } finally {
      await wire.restore()
    }
    await expect.poll(probe, { timeout: 30_000, interval: 500 }).toMatchObject({ [far.name]: all('OK') })
  })
})

describe('lists of the datapath', needs('agent:bpf-lists', 'agent:cilium-network-policy', 'agent:endpoints'), () => {
  test('have the policy of an endpoint, what it let through, and what was dropped', async ({ pods, policies, agent }) => {
    const { a1, b1, client1 } = pods
    const cilium = (...argv: string[]) => agent(a1.node).exec(argv).then(({ stdout }) => stdout)
    await policies.cilium('listed', { endpointSelector: slotA, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }], toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }] }] }] }, [a1, pods.a2])
    const id = String(a1.endpoint)
    /** Packets that the entry of the clients has let in. */
    const allowed = async () => Number(new RegExp(`^Ingress +${client1.identity} +${PORT}/TCP +\\S+ +\\d+ +(\\d+) *$`, 'm').exec(await cilium('bpf', 'policy', 'get', id, '--numeric'))?.[1])
    const dropped = async () => Number(/^reason:133 dir:1 +count:(\d+)/m.exec(await cilium('bpf', 'metrics', 'list'))?.[1] ?? 0)
    const [packets, drops] = [await allowed(), await dropped()]
    expect(packets).toBeGreaterThanOrEqual(0)
    await Promise.all([expect(client1).toReach(a1, { times: 5 }), expect(b1).not.toReach(a1, { protocol: 'udp', times: 2, timeoutMs: 300 })])
    // A connection's first packet at least: agents differ in what they ask policy of.
    expect.soft(await allowed()).toBeGreaterThanOrEqual(packets + 5)
    expect.soft(await dropped()).toBeGreaterThanOrEqual(drops + 2)
    const all = await cilium('bpf', 'policy', 'list')
    const section = all.split(/^(?=Endpoint ID: )/m).find((text) => text.startsWith(`Endpoint ID: ${id}\n`)) ?? expect.fail(`endpoint ${id} is not in\n${all}`)
    expect.soft(section).toMatch(new RegExp(`^Ingress +\\S+.* ${PORT}/TCP `, 'm'))
    expect.soft(section).toMatch(/\bk8s:app=client\b/)
  })
})

describe('lists as JSON', needs('agent:endpoints', 'agent:identities', 'agent:services'), () => {
  interface EndpointJson { readonly id: number; readonly status: { readonly state: string; readonly identity: { readonly id: number }; readonly networking: { readonly addressing: readonly { readonly ipv4?: string }[] } } }

  test('say what the tables say', async ({ pods, agent }) => {
    const cilium = agent(pods.a1.node)
    const rows = (await cilium.endpoints()).map(({ id, identity, ipv4, state }) => ({ id, identity, ipv4, state }))
    const endpoints = await cilium.json('endpoint', 'list') as EndpointJson[]
    expect(rows.map(({ ipv4 }) => ipv4)).toContain(pods.a1.ip)
    expect.soft(endpoints.map(({ id, status }) => ({ id, identity: status.identity.id, ipv4: status.networking.addressing[0]?.ipv4, state: status.state })).sort((a, b) => a.id - b.id)).toEqual(rows)
    const { stdout: path } = await cilium.exec(['endpoint', 'list', '-o', 'jsonpath={[*].status.networking.addressing[0].ipv4}'])
    expect.soft(path.trim().split(/\s+/).sort()).toEqual(rows.map(({ ipv4 }) => ipv4).sort())

    const table = (await cilium.exec(['identity', 'list'])).stdout
    const identities = await cilium.identities()
    expect.soft([...table.matchAll(/^(\d+) /gm)].map(([, id]) => Number(id)).sort()).toEqual(identities.map(({ id }) => id).sort())
    for (const { labels } of identities) for (const label of labels) expect.soft(table).toContain(label)

    const services = await cilium.json('service', 'list') as { status: { realized: { id: number; 'backend-addresses': unknown[] | null } } }[]
    const byId = (a: readonly [number | undefined, number], b: readonly [number | undefined, number]) => (a[0] ?? 0) - (b[0] ?? 0)
    expect.soft(services.map(({ status: { realized } }) => [realized.id, realized['backend-addresses']?.length ?? 0] as const).sort(byId)).toEqual((await cilium.services()).map(({ id, backends }) => [id, backends.length] as const).sort(byId))
  })
})

describe('the folder of an endpoint', needs('agent:state-dir', 'agent:endpoints', 'node:exec'), () => {
  test('is on its node, one for each', async ({ pods, nodes, agent }) => {
    for (const node of nodes) {
      const folders = (await node.exec("ls /var/run/cilium/state | grep -E '^[0-9]+$'")).stdout.trim().split('\n').map(Number)
      const ids = (await agent(node).endpoints()).map(({ id }) => id)
      expect.soft(folders.sort()).toEqual(ids.sort())
      for (const pod of pods.all.filter((each) => each.node === node.name)) expect.soft((await node.exec(`cat /var/run/cilium/state/${pod.endpoint}/* 2>/dev/null; true`)).stdout).toContain(pod.ip)
    }
  })
})

describe('options', needs('agent:config-cli', 'own-agent'), () => {
  test('change while the agent runs; one that is wrong changes nothing', async ({ nodes, agent }) => {
    const [node] = nodes
    const cilium = agent(node ?? expect.fail('no node'))
    const config = () => cilium.exec(['config']).then(({ stdout }) => stdout)
    try {
      await cilium.exec(['config', 'Debug=enable'])
      expect(await config()).toMatch(/^Debug +Enabled$/m)
      expect(await cilium.attempt(['config', 'PolicyEnforcement=sometimes'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('PolicyEnforcement') as string })
      expect(await config()).toMatch(/^PolicyEnforcement +default$/m)
    } finally {
      await cilium.exec(['config', 'Debug=disable'])
    }
    expect(await config()).toMatch(/^Debug +Disabled$/m)
  })
})

describe('an endpoint', needs('agent:endpoints', 'agent:config-cli'), () => {
  test('is healthy, can be regenerated, and keeps a log of it', async ({ pods, agent }) => {
    const { a1, client1 } = pods
    const cilium = (...argv: string[]) => agent(a1.node).exec(['endpoint', ...argv]).then(({ stdout }) => stdout)
    const id = String(a1.endpoint)
    expect(await cilium('health', id)).toMatch(/^Overall Health: +OK *$[^]*^Connected: +yes *$/m)
    await cilium('regenerate', id)
    expect(await cilium('log', id)).toMatch(/^\S+ +OK +ready +Successfully regenerated endpoint program/m)
    expect(await cilium('get', id, '-o', 'jsonpath={[0].status.state}')).toBe('ready\n')
    await expect(client1).toReach(a1)
  })

  test('has options of its own', async ({ pods, agent }) => {
    const { a1, b1 } = pods
    const endpointConfig = (id: number, ...options: string[]) => agent(a1.node).exec(['endpoint', 'config', String(id), ...options]).then(({ stdout }) => stdout)
    try {
      await endpointConfig(a1.endpoint, 'Debug=enable')
      expect(await endpointConfig(a1.endpoint)).toMatch(/^Debug +(: )?Enabled/m)
      expect(await endpointConfig(b1.endpoint)).toMatch(/^Debug +(: )?Disabled/m)
    } finally {
      await endpointConfig(a1.endpoint, 'Debug=disable')
    }
  })
})

describe('metrics', needs('agent:metrics', 'agent:network-policy', 'agent:monitor', 'node:exec'), () => {
  test('count endpoints, policies, and every packet that is dropped or let through', async ({ pods, policies, nodes, metrics, monitor }) => {
    const { a1, b1, client1 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    const idle = await metrics.of(node)
    expect(sumOf(idle, 'cilium_endpoint_state', { endpoint_state: /^ready$/ })).toBeGreaterThanOrEqual(pods.all.filter((pod) => pod.node === node.name).length)
    expect(sumOf(idle, 'cilium_unreachable_nodes')).toBe(0)
    await policies.network('nobody', { podSelector: slotA, policyTypes: ['Ingress'] }, [a1, pods.a2])
    const before = await metrics.of(node)
    expect(sumOf(before, 'cilium_policy_count')).toBe(sumOf(idle, 'cilium_policy_count') + 1)
    const window = await monitor.during(() => Promise.all([expect(b1).not.toReach(a1, { protocol: 'udp', times: 5, timeoutMs: 500 }), expect(client1).toReach(b1, { times: 5 })]))
    const dropped = window.events.filter((event) => event.type === 'drop' && event.node === node.name && denied.reason.test(event.reason)).length
    expect(dropped).toBeGreaterThan(0)
    const after = await metrics.of(node)
    const grown = (name: string, labels: Record<string, RegExp>) => sumOf(after, name, labels) - sumOf(before, name, labels)
    expect.soft(grown('cilium_drop_count_total', { ...denied, direction: /^ingress$/i })).toBeGreaterThanOrEqual(dropped)
    for (const direction of [/^ingress$/i, /^egress$/i]) expect.soft(grown('cilium_forward_count_total', { direction })).toBeGreaterThanOrEqual(10)
  })
})

describe('an identity', needs('agent:identity-gc', 'agent:identities'), () => {
  test('goes when its last pod has gone, on every node, and no other does', async ({ pods, visitors, nodes, agent }) => {
    const [node] = nodes
    const visitor = await visitors.start({ name: 'visitor', node: (node ?? expect.fail('no node')).name, labels: { app: 'visitor', visit: 'operation' } })
    const listed = async (name: string) => new Set((await agent(name).identities()).map(({ id }) => id))
    for (const { name } of nodes) await expect.poll(async () => (await listed(name)).has(visitor.identity), { timeout: 15_000, interval: 300 }).toBe(true)
    await visitors.remove('visitor')
    for (const { name } of nodes) await expect.poll(async () => (await listed(name)).has(visitor.identity), { timeout: 150_000, interval: 1000 }).toBe(false)
    for (const { name } of nodes) for (const pod of pods.all) expect.soft([...await listed(name)], `${pod.name} on ${name}`).toContain(pod.identity)
  })
})

describe('a bug report', needs('agent:bugtool', 'agent:endpoints', 'node:exec'), () => {
  /** A folder that node and agent share. */
  const folder = '/var/run/cilium'

  test('is an archive with what the agent knows', async ({ pods, nodes, agent }) => {
    const { a1 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    const { stdout } = await agent(node).exec(['bugtool', '--tmp', folder])
    const [, path] = /^ARCHIVE at (\S+\.tar)$/m.exec(stdout) ?? expect.fail(`no archive is named:\n${stdout}`)
    try {
      const names = (await node.exec(`tar -tf ${path}`)).stdout.split('\n')
      const ofEndpoints = names.find((name) => /cilium-endpoint-list[^/]*$/.test(name)) ?? expect.fail(`no endpoint list among ${names.length} files: ${names.slice(0, 20).join(', ')}`)
      expect((await node.exec(`tar -xOf ${path} '${ofEndpoints}'`)).stdout).toContain(a1.ip)
      expect(names.filter((name) => /cilium-(status|bpf-ct-list|service-list|policy-get)[^/]*$/.test(name)).length).toBeGreaterThanOrEqual(4)
    } finally {
      await node.exec(`rm -f ${path}`)
    }
  })
})
