import { DEATHSTAR_PORT, describe, expect, needs, test } from '../fixtures/index.ts'

/** A folder that node and agent share. */
const file = '/var/run/cilium/suites-l7'
const DENIED = ['Policy denied (L3)', 'Policy denied (L4)']
const landing = { method: 'POST', path: '/v1/request-landing', port: DEATHSTAR_PORT, host: 'deathstar' } as const
const exhaust = { method: 'PUT', path: '/v1/exhaust-port', port: DEATHSTAR_PORT, host: 'deathstar' } as const
const landed = expect.stringMatching(/^200 deathstar-[12]\|.*\|POST \/v1\/request-landing$/) as string
const exploded = expect.stringMatching(/^200 deathstar-[12]\|.*\|PUT \/v1\/exhaust-port$/) as string
const refused = { ok: true, reply: '403 Access denied' }

describe('the Star Wars demo', needs('agent:cilium-network-policy', 'agent:http-policy', 'agent:services', 'agent:monitor', 'node:network'), () => {
  test('without a policy every ship may land, and touch the exhaust port', async ({ starwars: { deathstar, tiefighter, xwing } }) => {
    for (const ship of [tiefighter, xwing]) {
      expect.soft(await ship.request(deathstar.ip, landing)).toMatchObject({ ok: true, reply: landed })
      expect.soft(await ship.request(deathstar.ip, exhaust)).toMatchObject({ ok: true, reply: exploded })
    }
  })

  test('by labels and port: the Empire\'s ships do, the Alliance\'s are dropped before they arrive', async ({ starwars, policies, monitor }) => {
    const { deathstar, deathstars, tiefighter, xwing } = starwars
    await policies.cilium('rule1', starwars.policy('l3-l4'), deathstars)
    const window = await monitor.during(async () => {
      expect.soft(await tiefighter.request(deathstar.ip, landing)).toMatchObject({ ok: true, reply: landed })
      expect.soft(await tiefighter.request(deathstar.ip, exhaust)).toMatchObject({ ok: true, reply: exploded })
      await expect.soft(xwing).not.toReach(deathstar, { port: DEATHSTAR_PORT })
    })
    expect.soft(window).toContainDrop({ reason: DENIED, from: xwing, protocol: 'tcp', dstPort: DEATHSTAR_PORT })
    expect.soft(window).not.toContainDrop({ from: tiefighter })
    // No requests are read where no policy asks for that.
    expect.soft(window).not.toContainRequest({ from: tiefighter })
  })

  test('by requests: landing is allowed, the exhaust port answers 403, the Alliance is dropped, and the access log has it', async ({ starwars, policies, monitor }) => {
    const { deathstar, deathstars, tiefighter, xwing } = starwars
    await policies.cilium('rule1', starwars.policy('l3-l4-l7'), deathstars)
    const window = await monitor.during(async () => {
      // Each Death Star by itself, on the ship's own node and on the other, and the service.
      for (const ip of [...deathstars.map((pod) => pod.ip), deathstar.ip]) {
        expect.soft(await tiefighter.request(ip, landing)).toMatchObject({ ok: true, reply: landed })
        expect.soft(await tiefighter.request(ip, exhaust)).toMatchObject(refused)
        expect.soft(await tiefighter.request(ip, { ...landing, method: 'GET' })).toMatchObject(refused)
        expect.soft(await tiefighter.request(ip, { ...landing, path: '/v1/request-landing/../exhaust-port' })).toMatchObject(refused)
      }
      await expect.soft(xwing).not.toReach(deathstar, { port: DEATHSTAR_PORT })
    })
    for (const to of deathstars) {
      const where = { from: tiefighter, to, direction: 'ingress', node: to.node } as const
      expect.soft(window).toContainRequest({ ...where, verdict: 'Forwarded', method: 'POST', path: landing.path })
      expect.soft(window).toContainRequest({ ...where, verdict: 'Forwarded', method: 'POST', path: landing.path, status: 200 })
      expect.soft(window).toContainRequest({ ...where, verdict: 'Denied', method: 'PUT', path: exhaust.path, status: 403 })
      expect.soft(window).not.toContainRequest({ to, verdict: 'Forwarded', method: 'PUT' })
      expect.soft(window).not.toContainRequest({ to, verdict: 'Forwarded', method: 'GET' })
    }
    expect.soft(window).toContainDrop({ reason: DENIED, from: xwing, protocol: 'tcp', dstPort: DEATHSTAR_PORT })
    expect.soft(window).not.toContainRequest({ from: xwing })
  })

  test('a change of the rules holds for the next request of a connection that is open', async ({ starwars, policies }) => {
    const { deathstar, deathstars, tiefighter } = starwars
    const policy = await policies.cilium('rule1', starwars.policy('l3-l4-l7'), deathstars)
    await expect.poll(async () => (await Promise.all(deathstars.map(({ ip }) => tiefighter.request(ip, exhaust)))).map(({ reply }) => reply), { timeout: 30_000 }).toEqual([refused.reply, refused.reply])
    // Longer than the agents take to follow.
    const visit = tiefighter.request(deathstar.ip, { ...exhaust, times: 400, pauseMs: 200, until: 200, timeoutMs: 120_000 })
    // It was sent before these are.
    for (const { ip } of deathstars) expect(await tiefighter.request(ip, exhaust)).toMatchObject(refused)
    await policy.change({
      endpointSelector: { matchLabels: { org: 'empire', class: 'deathstar' } },
      ingress: [{ fromEndpoints: [{ matchLabels: { org: 'empire' } }], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'PUT|POST', path: '/v1/[a-z-]+' }] } }] }],
    })
    await expect.poll(async () => (await Promise.all(deathstars.map(({ ip }) => tiefighter.request(ip, exhaust)))).map(({ reply }) => reply.slice(0, 3)), { timeout: 30_000 }).toEqual(['200', '200'])
    expect(await visit).toMatchObject({ ok: true, reply: expect.stringMatching(/^403\*\d+ 200\*\d+$/) as string })
  })

  test('by header and host', async ({ starwars, policies }) => {
    const { deathstar, deathstars, tiefighter } = starwars
    await policies.cilium('rule1', {
      endpointSelector: { matchLabels: { org: 'empire', class: 'deathstar' } },
      ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'PUT', path: '/v1/exhaust-port', headers: ['X-Has-Force: true'] }, { host: '.*\\.empire' }] } }] }],
    }, deathstars)
    expect.soft(await tiefighter.request(deathstar.ip, exhaust)).toMatchObject(refused)
    expect.soft(await tiefighter.request(deathstar.ip, { ...exhaust, header: 'X-Has-Force:false' })).toMatchObject(refused)
    expect.soft(await tiefighter.request(deathstar.ip, { ...exhaust, header: 'X-Has-Force:true' })).toMatchObject({ ok: true, reply: exploded })
    expect.soft(await tiefighter.request(deathstar.ip, { ...landing, host: 'deathstar.empire' })).toMatchObject({ ok: true, reply: landed })
    expect.soft(await tiefighter.request(deathstar.ip, { ...landing, host: 'deathstar.empire.alliance' })).toMatchObject(refused)
  })

  test('by the sender\'s policy, and still by its identity at the receiver', async ({ starwars, policies, monitor }) => {
    const { deathstar, deathstars, tiefighter } = starwars
    await policies.cilium('rule1', starwars.policy('l3-l4'), deathstars)
    await policies.cilium('leaving', {
      endpointSelector: { matchLabels: { class: 'tiefighter' } },
      egress: [{ toEndpoints: [{ matchLabels: { class: 'deathstar' } }], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'POST' }] } }] }],
    }, [tiefighter], 'egress')
    const window = await monitor.during(async () => {
      for (const ip of [...deathstars.map((pod) => pod.ip), deathstar.ip]) {
        expect.soft(await tiefighter.request(ip, landing)).toMatchObject({ ok: true, reply: landed })
        expect.soft(await tiefighter.request(ip, exhaust)).toMatchObject(refused)
      }
    })
    for (const to of deathstars) {
      const where = { from: tiefighter, to, direction: 'egress', node: tiefighter.node } as const
      expect.soft(window).toContainRequest({ ...where, verdict: 'Forwarded', method: 'POST', path: landing.path })
      expect.soft(window).toContainRequest({ ...where, verdict: 'Denied', method: 'PUT', path: exhaust.path, status: 403 })
    }
    expect.soft(window).not.toContainDrop({ from: tiefighter })
  })

  test('what the sender\'s policy lets through is still denied by the receiver\'s, in the sender\'s name', async ({ starwars, policies, monitor }) => {
    const { deathstars, tiefighter } = starwars
    await policies.cilium('rule1', { endpointSelector: { matchLabels: { org: 'empire', class: 'deathstar' } }, ingress: [{ fromEndpoints: [{ matchLabels: { org: 'alliance' } }] }] }, deathstars)
    await policies.cilium('leaving', {
      endpointSelector: { matchLabels: { class: 'tiefighter' } },
      egress: [{ toEndpoints: [{ matchLabels: { class: 'deathstar' } }], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'POST' }] } }] }],
    }, [tiefighter], 'egress')
    const window = await monitor.during(async () => {
      for (const { ip } of deathstars) expect.soft(await tiefighter.request(ip, { ...landing, timeoutMs: 3000 })).not.toMatchObject({ reply: landed })
    })
    for (const to of deathstars) expect.soft(window).toContainDrop({ reason: DENIED, to, protocol: 'tcp', dstPort: DEATHSTAR_PORT, node: to.node })
  })
})

describe('requests by IPv6', needs('agent:ipv6', 'agent:cilium-network-policy', 'agent:http-policy', 'agent:monitor', 'node:network'), () => {
  test('are decided on as by IPv4: landing is allowed, the exhaust port answers 403, the Alliance is dropped, and the access log has it', async ({ starwars, policies, monitor }) => {
    const { deathstars } = starwars
    const [tiefighter, xwing] = [starwars.tiefighter.v6, starwars.xwing.v6]
    await policies.cilium('rule1', starwars.policy('l3-l4-l7'), deathstars)
    const window = await monitor.during(async () => {
      // On the ship's own node and on the other.
      for (const { v6 } of deathstars) {
        expect.soft(await tiefighter.request(v6.ip, landing)).toMatchObject({ ok: true, reply: landed })
        expect.soft(await tiefighter.request(v6.ip, exhaust)).toMatchObject(refused)
        await expect.soft(xwing).not.toReach(v6, { port: DEATHSTAR_PORT })
      }
    })
    for (const to of deathstars) {
      const where = { from: starwars.tiefighter, to, direction: 'ingress', node: to.node } as const
      expect.soft(window).toContainRequest({ ...where, verdict: 'Forwarded', method: 'POST', path: landing.path, status: 200 })
      expect.soft(window).toContainRequest({ ...where, verdict: 'Denied', method: 'PUT', path: exhaust.path, status: 403 })
      expect.soft(window).not.toContainRequest({ to, verdict: 'Forwarded', method: 'PUT' })
      expect.soft(window).toContainDrop({ reason: DENIED, from: xwing, to: to.v6, protocol: 'tcp', dstPort: DEATHSTAR_PORT })
    }
    expect.soft(window).not.toContainRequest({ from: starwars.xwing })
  })

  test('are decided on by the sender\'s policy too', async ({ starwars, policies, monitor }) => {
    const { deathstars, tiefighter } = starwars
    await policies.cilium('leaving', {
      endpointSelector: { matchLabels: { class: 'tiefighter' } },
      egress: [{ toEndpoints: [{ matchLabels: { class: 'deathstar' } }], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'POST' }] } }] }],
    }, [tiefighter], 'egress')
    const window = await monitor.during(async () => {
      for (const { v6 } of deathstars) {
        expect.soft(await tiefighter.v6.request(v6.ip, landing)).toMatchObject({ ok: true, reply: landed })
        expect.soft(await tiefighter.v6.request(v6.ip, exhaust)).toMatchObject(refused)
      }
    })
    for (const to of deathstars) expect.soft(window).toContainRequest({ from: tiefighter, to, direction: 'egress', node: tiefighter.node, verdict: 'Denied', method: 'PUT', path: exhaust.path, status: 403 })
    expect.soft(window).not.toContainDrop({ from: tiefighter.v6 })
  })
})

describe('a policy for requests that cannot be', needs('agent:http-policy', 'agent:policy-cli', 'node:exec', 'own-agent'), () => {
  test.for([
    { protocol: 'TCP', path: '/v1/[a', says: /missing closing \]/ },
    { protocol: 'UDP', path: '/', says: /L7 rules can only apply (exclusively )?to TCP/ },
  ])('is refused with the reason: $says', async ({ protocol, path, says }, { nodes, agent }) => {
    const node = nodes[0] ?? expect.fail('no node')
    const rule = [{ endpointSelector: { matchLabels: { class: 'deathstar' } }, ingress: [{ toPorts: [{ ports: [{ port: '80', protocol }], rules: { http: [{ path }] } }] }] }]
    await node.writeFile(file, JSON.stringify(rule))
    try {
      for (const command of ['validate', 'import']) expect.soft(await agent(node).attempt(['policy', command, file])).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(says) as string })
    } finally {
      await node.exec(`rm -f ${file}`)
    }
  })
})
