/**
 * One node's datapath as a process, for tests: `node-main.ts CONFIG_JSON`, started in the node's network namespace. Reads calls as JSON
 * lines `{id, method, args}` and answers `{id, result}` or `{id, error}`; events come as `{event}` or `{lost}`.
 */
import readline from 'node:readline'
import { decodeEvent, openDatapath } from '../index.ts'
import { L7Proxy } from '../../proxy/proxy.ts'
import type { ResolvedPolicy } from '../../policy/resolve.ts'
import { createLogger } from '../../log.ts'
import type { DatapathConfig } from '../types.ts'

const say = (message: unknown): void => void process.stdout.write(`${JSON.stringify(message)}\n`)

interface Call { id: number; method: string; args: unknown[] }

const started = performance.now()
const datapath = await openDatapath(JSON.parse(process.argv[2] ?? '{}') as DatapathConfig, { stats: process.env['LASH_STATS'] === '1' })
datapath.onEvent((event) => {
  if ('lost' in event) return say({ lost: event.lost })
  const { ...message } = decodeEvent(event.cpu, event.data)
  say({ event: 'packet' in message ? { ...message, packet: message.packet.toString('hex') } : message })
})
const proxy = new L7Proxy({
  transport: datapath, labelsOf: (identity) => [`id:${identity}`], endpointAt: (ip) => datapath.listEndpoints().find((it) => it.ip === ip)?.id ?? 0,
  record: (record) => say({ event: { type: 'l7', verdict: record.verdict, observationPoint: record.observationPoint, record } }), log: createLogger({ debug: false, write: (line) => void process.stderr.write(`${line}\n`) }),
})
/** As the endpoint manager does it. */
const methods: Record<string, (...args: never[]) => unknown> = {
  applyPolicy: (id: number, policy: ResolvedPolicy) => { datapath.setPolicy(id, proxy.apply(id, policy)); proxy.settle(id) },
  statistics: (id: number) => proxy.statistics(id),
  notes: () => datapath.notes,
}
say({ ready: { pid: process.pid, programs: datapath.programInfo, ms: Math.round(performance.now() - started) } })

async function answer(line: string): Promise<void> {
  const { id, method, args } = JSON.parse(line) as Call
  try {
    const call = (methods[method] ?? (datapath as unknown as Record<string, unknown>)[method]) as ((...args: unknown[]) => unknown) | undefined
    if (call === undefined) throw new Error(`no method ${method}`)
    say({ id, result: await call.apply(datapath, args) ?? null })
  } catch (error) {
    say({ id, error: String(error) })
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => void answer(line)).on('close', () => { proxy.close(); datapath.close() })
