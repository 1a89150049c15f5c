import { describe, expect, needs, test } from '../fixtures/index.ts'

const failed = (msg: RegExp) => ({ exitCode: 1, body: { code: expect.any(Number) as number, msg: expect.stringMatching(msg) as string } })

describe('the CNI plugin', needs('agent:cni', 'agent:endpoints', 'node:exec', 'own-agent'), () => {
  test('connects a pod at ADD, to the same address at ADD again, and leaves nothing after DEL', async ({ cniPod, pods, nodes, agent }) => {
    const node = nodes[0]!
    const rowOf = async (ip: string) => (await agent(node).endpoints()).find(({ ipv4 }) => ipv4 === ip)
    const address = (body: unknown) => (body as { ips?: { address: string }[] }).ips?.[0]?.address.replace(/\/\d+$/, '') ?? expect.fail(`no address in ${JSON.stringify(body)}`)
    expect(await cniPod.call('VERSION')).toMatchObject({ exitCode: 0, body: { supportedVersions: expect.arrayContaining(['0.3.1']) as string[] } })
    expect.soft(await cniPod.call('CHECK')).toMatchObject({ exitCode: 1 })

    const added = await cniPod.call('ADD')
    expect(added).toMatchObject({ exitCode: 0, body: { interfaces: expect.arrayContaining([expect.objectContaining({ name: 'eth0', sandbox: expect.stringContaining(cniPod.name) as string })]) as object[] } })
    const ip = address(added.body)
    expect(await rowOf(ip)).toMatchObject({ state: 'ready', identity: pods.client1.identity })
    expect((await cniPod.exec('ip -4 -o addr show dev eth0')).stdout).toContain(` ${ip}/`)
    for (const pod of [pods.a1, pods.a2]) expect.soft(await cniPod.exec(`ping -n -c 1 -W 10 ${pod.ip}`)).toMatchObject({ exitCode: 0 })

    const again = await cniPod.call('ADD')
    expect.soft(again).toMatchObject({ exitCode: 0 })
    expect.soft(address(again.body)).toBe(ip)
    expect.soft((await cniPod.exec('ip -4 -o addr show dev eth0')).stdout).toContain(` ${ip}/`)
    expect.soft(await cniPod.exec(`ping -n -c 1 -W 10 ${pods.a1.ip}`)).toMatchObject({ exitCode: 0 })
    expect.soft(await cniPod.call('CHECK')).toMatchObject({ exitCode: 0 })

    for (const _ of ['once', 'again']) expect.soft(await cniPod.call('DEL')).toMatchObject({ exitCode: 0 })
    expect(await rowOf(ip)).toBeUndefined()
    expect((await cniPod.exec('ip link show dev eth0')).exitCode).not.toBe(0)
    expect.soft(await cniPod.call('CHECK')).toMatchObject({ exitCode: 1 })
  })

  test('refuses what it cannot do with an error that says why, and makes nothing then', async ({ cniPod, nodes, agent }) => {
    const before = (await agent(nodes[0]!).endpoints()).map(({ id }) => id)
    expect.soft(await cniPod.call('ADD', { config: '{"cniVersion": ' })).toMatchObject(failed(/JSON/i))
    expect.soft(await cniPod.call('ADD', { config: '{"cniVersion": "9.9.9", "name": "cilium", "type": "cilium-cni"}' })).toMatchObject(failed(/9\.9\.9/))
    expect.soft(await cniPod.call('ADD', { args: 'IgnoreUnknown=1' })).toMatchObject(failed(/K8S_POD_NAME/))
    expect.soft(await cniPod.call('ADD', { netns: '/var/run/netns/nowhere' })).toMatchObject(failed(/nowhere/))
    expect.soft(await cniPod.call('DANCE')).toMatchObject(failed(/DANCE/))
    expect((await agent(nodes[0]!).endpoints()).map(({ id }) => id)).toEqual(before)
    expect((await cniPod.exec('ip link show dev eth0')).exitCode).not.toBe(0)
  })
})

describe('kubectl get ciliumendpoints', needs('agent:endpoints', 'agent:endpoint-objects', 'agent:network-policy'), () => {
  test('shows each pod\'s id, identity, addresses, state and enforcement', async ({ pods, policies, cluster, agent }) => {
    await policies.network('shown', { podSelector: { matchLabels: { slot: 'a' } }, policyTypes: ['Ingress'] }, [pods.a1, pods.a2])
    const endpoints = (await Promise.all([...new Set(pods.all.map(({ node }) => node))].map(async (node) => (await agent(node).endpoints()).map((row) => [row.ipv4, row] as const)))).flat()
    const rows = new Map(endpoints)
    const wanted = pods.all.map((pod) => ({
      NAME: pod.name, 'ENDPOINT ID': String(pod.endpoint), 'IDENTITY ID': String(pod.identity), 'INGRESS ENFORCEMENT': String(pods.a1.labels['slot'] === pod.labels['slot']), 'EGRESS ENFORCEMENT': 'false',
      'ENDPOINT STATE': 'ready', IPV4: pod.ip, IPV6: rows.get(pod.ip)?.ipv6 ?? '',
    }))
    // Agents write these objects a moment later.
    const shown = async () => (await cluster.listed('ciliumendpoints', pods.namespace)).filter(({ NAME }) => pods.all.some(({ name }) => name === NAME))
    await expect.poll(shown, { timeout: 20_000, interval: 500 }).toEqual(expect.arrayContaining(wanted.map((row) => expect.objectContaining(row) as unknown)))
  })
})
