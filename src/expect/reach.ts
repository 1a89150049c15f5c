import { setTimeout as delay } from 'node:timers/promises'
import { compose, atMost } from './message.ts'
import type { Verdict } from './events.ts'
import type { Arrival, Attempt, Client, Receiver, Target, Transport } from './types.ts'

export interface ReachOptions {
  /** Default `tcp`. */
  readonly protocol?: Transport
  /** Default 8080, where the workload serves; none for ICMP. */
  readonly port?: number
  /** New connections (datagrams, echo requests), all of which must be answered. Default 1. */
  readonly times?: number
  /** Deadline of each. Default 10,000: emulated nodes on a busy host are slow; with `.not`, 1,500: a SYN that is dropped is repeated after 1 s. */
  readonly timeoutMs?: number
  /** Try again until it works, this long. Default 0: the first set counts, so that a retry never hides a race. */
  readonly withinMs?: number
}

export const REACH_DEFAULTS = { protocol: 'tcp', port: 8080, times: 1 } as const

/** Times in one line: `2× timeout, 1× refused`. */
function outcomes(attempts: readonly Attempt[]): string {
  const counts = new Map<string, number>()
  for (const attempt of attempts) {
    const what = attempt.ok ? `answered by ${attempt.reply.split('|')[0] || attempt.remote}` : attempt.error === 'wrong source' ? `answered from ${attempt.remote} instead` : attempt.error ?? 'failed'
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  return [...counts].map(([what, n]) => `${n}× ${what}`).join(', ') || 'no attempt was made'
}

/** An answer by somebody else than the target is no success. An echo reply tells no name. */
function answeredByTarget(attempt: Attempt, target: Target, o: ReachOptions): boolean {
  return attempt.ok && (!target.answersAs || o.protocol === 'icmp' || target.answersAs.includes(attempt.reply.split('|')[0] ?? ''))
}

interface Tried { readonly attempts: readonly Attempt[]; readonly good: boolean }

async function tryOnce(client: Client, target: Target, o: ReachOptions, timeoutMs: number): Promise<Tried> {
  const { protocol = REACH_DEFAULTS.protocol, port = REACH_DEFAULTS.port, times = REACH_DEFAULTS.times } = o
  const attempts = await client.attempt(target.ip, { protocol, port, times, timeoutMs })
  return { attempts, good: attempts.length === times && attempts.every((attempt) => answeredByTarget(attempt, target, o)) }
}

function headline(client: Client, target: Target, o: ReachOptions, not: boolean): string {
  const { protocol = REACH_DEFAULTS.protocol, port = REACH_DEFAULTS.port, times = REACH_DEFAULTS.times } = o
  return `expected ${client.name}${client.ip === undefined ? '' : ` (${client.ip})`} ${not ? 'not ' : ''}to reach ${target.name} (${target.ip}) by ${protocol}${protocol === 'icmp' ? '' : ` port ${port}`}${times > 1 ? `, ${times} times` : ''}`
}

/** Whether the client's new connections are all answered by the target. */
export async function reaches(client: Client, target: Target, options: ReachOptions): Promise<Verdict> {
  const start = performance.now()
  const log: string[] = []
  for (;;) {
    const tried = await tryOnce(client, target, options, options.timeoutMs ?? 10_000)
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    log.push(`${seconds} s: ${outcomes(tried.attempts)}`)
    if (tried.good) return { pass: true, message: () => compose(headline(client, target, options, true), [['seen', log]]) }
    if (performance.now() - start >= (options.withinMs ?? 0)) {
      const missing = (options.times ?? 1) - tried.attempts.length
      const wrong = tried.attempts.filter((attempt) => attempt.ok && !answeredByTarget(attempt, target, options)).length
      const notes = [...(missing > 0 ? [`${missing} further attempt(s) were not made after repeated failure`] : []), ...(wrong ? [`expected an answer by ${target.answersAs?.join(' or ')}`] : [])]
      return { pass: false, message: () => compose(headline(client, target, options, false), [['seen', [...atMost(log.slice(-8), 8), ...notes]]]) }
    }
    await delay(200)
  }
}

/** Packets of the flow that reached the receivers. */
async function arrived(receivers: readonly Receiver[], client: Client, o: ReachOptions): Promise<Map<string, number>> {
  const { protocol = REACH_DEFAULTS.protocol, port = REACH_DEFAULTS.port } = o
  const ofFlow = (arrival: Arrival): boolean =>
    arrival.src === client.ip && (protocol === 'icmp' ? (arrival.proto === 'icmp' && arrival.port === 8) || (arrival.proto === 'icmpv6' && arrival.port === 128) : arrival.proto === protocol && arrival.port === port)
  const counts = await Promise.all(receivers.map(async (receiver) => [receiver.name, (await receiver.arrivals()).filter(ofFlow).reduce((sum, { count }) => sum + count, 0)] as const))
  return new Map(counts)
}

/**
 * For `.not.toReach`: `pass` means that it did reach. It does when an attempt is answered, and also when none is but a packet of the flow arrived at
 * a receiver: what is denied must not get there at all.
 */
export async function reachesAtAll(client: Client, target: Target, options: ReachOptions): Promise<Verdict> {
  const receivers = client.ip === undefined ? [] : target.receivers ?? []
  const before = await arrived(receivers, client, options)
  const { attempts } = await tryOnce(client, target, options, options.timeoutMs ?? 1_500)
  const after = await arrived(receivers, client, options)
  const got = [...after].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const)
  const answered = attempts.some((attempt) => attempt.ok || attempt.error === 'wrong source')
  const leaked = got.some(([, count]) => count > 0)
  const proof = receivers.length === 0 ? ['nothing counts packets there'] : got.map(([name, count]) => `${name}: ${count} packet(s) of this flow arrived`)
  return {
    pass: answered || leaked,
    message: () => compose(headline(client, target, options, true), [['seen', [outcomes(attempts)]], ['at the receiver', proof]]),
  }
}

export interface ReachAllOptions extends ReachOptions {
  /** New connections at most: enough to make it unlikely that a backend is missed by chance. */
  readonly times: number
  /** Goes on for so many even when every backend has answered: enough to meet one that should be none. Default 0. */
  readonly least?: number
}

/** Connections that are asked for at once. */
const batch = 8

/** Whether the target's every backend answers some of the client's new connections, and nobody else any. Ends when all have, or one connection fails. */
export async function reachesAll(client: Client, target: Target, options: ReachAllOptions): Promise<Verdict> {
  const wanted = target.answersAs ?? []
  const counts = new Map(wanted.map((name) => [name, 0]))
  const attempts: Attempt[] = []
  let good = true
  const all = (): boolean => wanted.every((name) => (counts.get(name) ?? 0) > 0)
  while (good && attempts.length < options.times && !(all() && attempts.length >= (options.least ?? 0))) {
    const tried = await tryOnce(client, target, { ...options, times: Math.min(batch, options.times - attempts.length) }, options.timeoutMs ?? 10_000)
    good = tried.good
    attempts.push(...tried.attempts)
    for (const { ok, reply } of tried.attempts) {
      const who = reply.split('|')[0] || '(no name)'
      if (ok) counts.set(who, (counts.get(who) ?? 0) + 1)
    }
  }
  const pass = good && all()
  const failed = attempts.filter((attempt) => !attempt.ok)
  return {
    pass,
    message: () => compose(`${headline(client, target, { ...options, times: attempts.length }, pass)}, answered by every one of ${wanted.join(', ')}`, [
      ['answers', [...counts].map(([name, count]) => `${name}: ${count}${wanted.includes(name) ? '' : ' (not a backend)'}`)],
      ['failed', failed.length ? [outcomes(failed)] : []],
    ]),
  }
}
