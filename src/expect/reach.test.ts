import { describe, expect, test } from 'vitest'
import { installMatchers } from './matchers.ts'
import type { Arrival, Attempt, Client, Target } from './types.ts'

installMatchers()

const attempt = (over: Partial<Attempt> = {}): Attempt => ({ ok: true, local: '10.244.0.7:40000', remote: '10.244.1.9:8080', reply: 'server-a2|10.244.0.7:40000', ms: 2, ...over })
const failed = (error: string): Attempt => attempt({ ok: false, remote: '', reply: '', error })

/** A client whose n-th set of attempts is the n-th of `sets` (the last one again after that). */
function clientOf(...sets: Attempt[][]): Client {
  let n = 0
  return { name: 'client-1', ip: '10.244.0.7', attempt: () => Promise.resolve(sets[Math.min(n++, sets.length - 1)] ?? []) }
}

/** A server whose counter goes up by `perAsk` each time it is asked. */
function serverOf(perAsk = 0): Target {
  let count = 0
  const arrivals = (): Promise<Arrival[]> => Promise.resolve([{ src: '10.244.0.7', proto: 'tcp', port: 8080, count: (count += perAsk) }])
  return { name: 'server-a2', ip: '10.244.1.9', answersAs: ['server-a2'], receivers: [{ name: 'server-a2', arrivals }] }
}

async function failure(assertion: Promise<void>): Promise<string> {
  return assertion.then(() => expect.fail('it passed'), (error: unknown) => (error as Error).message)
}

describe('toReach', () => {
  test('passes when every attempt is answered by the target', async () => {
    await expect(clientOf([attempt(), attempt()])).toReach(serverOf(), { times: 2 })
  })

  test('shows what became of each attempt', async () => {
    expect(await failure(expect(clientOf([attempt(), failed('timeout'), failed('timeout')])).toReach(serverOf(), { times: 4 }))).toMatchInlineSnapshot(`
      "expected client-1 (10.244.0.7) to reach server-a2 (10.244.1.9) by tcp port 8080, 4 times

      seen:
        0.0 s: 1× answered by server-a2, 2× timeout
        1 further attempt(s) were not made after repeated failure"
    `)
  })

  test('sees an answer from the wrong address, and one by the wrong server', async () => {
    expect(await failure(expect(clientOf([attempt({ ok: false, remote: '10.244.1.10:8080', error: 'wrong source' })])).toReach(serverOf()))).toContain('1× answered from 10.244.1.10:8080 instead')
    expect(await failure(expect(clientOf([attempt({ reply: 'server-b1|10.244.0.7:1' })])).toReach(serverOf()))).toContain('1× answered by server-b1\n  expected an answer by server-a2')
  })

  test('tries once only, unless it is given time, and then logs each try', async () => {
    await expect(expect(clientOf([failed('refused')], [attempt()])).toReach(serverOf())).rejects.toThrow('1× refused')
    await expect(clientOf([failed('refused')], [attempt()])).toReach(serverOf(), { withinMs: 5000 })
    expect(await failure(expect(clientOf([failed('refused')], [failed('timeout')])).toReach(serverOf(), { withinMs: 250 }))).toMatch(/0\.0 s: 1× refused\n {2}0\.2 s: 1× timeout/)
  })
})

describe('not.toReach', () => {
  test('passes when nothing is answered and nothing arrived', async () => {
    await expect(clientOf([failed('timeout')])).not.toReach(serverOf())
  })

  test('fails when an attempt is answered', async () => {
    expect(await failure(expect(clientOf([attempt()])).not.toReach(serverOf(1)))).toMatchInlineSnapshot(`
      "expected client-1 (10.244.0.7) not to reach server-a2 (10.244.1.9) by tcp port 8080

      seen:
        1× answered by server-a2

      at the receiver:
        server-a2: 1 packet(s) of this flow arrived"
    `)
  })

  test('fails when none is answered but a packet arrived at the receiver', async () => {
    expect(await failure(expect(clientOf([failed('timeout')])).not.toReach(serverOf(2)))).toContain('at the receiver:\n  server-a2: 2 packet(s) of this flow arrived')
  })

  test('works softly, several at once', async () => {
    await Promise.all([expect.soft(clientOf([failed('timeout')])).not.toReach(serverOf()), expect.soft(clientOf([attempt()])).toReach(serverOf())])
  })
})

describe('toReachAll', () => {
  const service: Target = { name: 'web', ip: '10.96.0.10', answersAs: ['server-a1', 'server-a2'] }

  test('passes when every backend answered', async () => {
    await expect(clientOf([attempt({ reply: 'server-a1|x' }), attempt()])).toReachAll(service, { times: 2, port: 80 })
  })

  test('shows how often each backend answered when one did not', async () => {
    expect(await failure(expect(clientOf([attempt(), attempt()])).toReachAll(service, { times: 2, port: 80 }))).toMatchInlineSnapshot(`
      "expected client-1 (10.244.0.7) to reach web (10.96.0.10) by tcp port 80, 2 times, answered by every one of server-a1, server-a2

      answers:
        server-a1: 0
        server-a2: 2"
    `)
  })

  test('ends when every backend has answered, unless more are asked for', async () => {
    const asked: number[] = []
    const replies = ['server-a1|x', 'server-a2|x']
    const client: Client = { name: 'client-1', attempt: (_ip, { times }) => Promise.resolve(Array.from({ length: times }, (_, i) => (asked.push(i), attempt({ reply: replies[i % 2]! })))) }
    await expect(client).toReachAll(service, { times: 20, port: 80 })
    expect(asked).toHaveLength(8)
    await expect(client).toReachAll(service, { times: 20, port: 80, least: 20 })
    expect(asked).toHaveLength(28)
  })

  test('fails when somebody answers who is no backend any more', async () => {
    expect(await failure(expect(clientOf([attempt({ reply: 'server-a1|x' }), attempt(), attempt({ reply: 'server-b1|x' })])).toReachAll(service, { times: 3, port: 80 }))).toContain('server-b1: 1 (not a backend)')
  })
})
