import { setTimeout as delay } from 'node:timers/promises'
import type { Verdict } from './events.ts'
import { atMost, compose } from './message.ts'
import { parseLbList, parseServiceJson, parseServiceTable, parseTunnelList, type ServiceRow, type TunnelRow } from './tables.ts'
import type { AgentCli } from './types.ts'

export interface PollOptions {
  /** Ask again until it holds, this long. Default 15,000. */
  readonly withinMs?: number
}

/** Asks the agent's command line until it `has` what is wanted; a failing command counts as something seen. */
async function poll(cli: AgentCli, argv: readonly string[], expected: string, has: (stdout: string) => boolean, isNot: boolean, options: PollOptions): Promise<Verdict> {
  const start = performance.now()
  const log: string[] = []
  let last = ''
  for (;;) {
    let pass = false
    const seen = await cli.exec(argv).then(({ stdout }) => {
      pass = has(stdout)
      return stdout.trimEnd()
    }).catch((error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`)
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    if (seen !== last) log.push(`${seconds} s: ${seen.includes('\n') ? `${seen.split('\n').length} lines` : seen}`)
    last = seen
    // Vitest leaves isNot undefined without `.not`, whatever its type says.
    if (pass === !isNot || performance.now() - start >= (options.withinMs ?? 15_000)) {
      return { pass, message: () => compose(`expected ${cli.name} ${isNot ? 'not ' : ''}to list ${expected}`, [[`last seen, by "${argv.join(' ')}"`, atMost(last.split('\n'), 40)], ['call log', log.slice(-8)]]) }
    }
    await delay(200)
  }
}

/** `cilium bpf tunnel list` has the row. */
export const listsTunnel = (cli: AgentCli, want: TunnelRow, isNot: boolean, options: PollOptions = {}): Promise<Verdict> => {
  const prefix = want.prefix.replace(/\/\d+$/, '')
  return poll(cli, ['bpf', 'tunnel', 'list'], `the tunnel ${want.prefix} -> ${want.node}`, (text) => parseTunnelList(text).some((row) => row.prefix === prefix && row.node === want.node), isNot, options)
}

export interface ServiceCriteria {
  /** `10.96.0.10:53`. */
  readonly frontend: string
  /** All of its backends, in any order. */
  readonly backends: readonly string[]
}

/** Of rows with the same frontend (one a protocol, where the agent keeps them apart) one has exactly the backends. */
const same = (rows: readonly ServiceRow[], want: ServiceCriteria): boolean =>
  rows.some(({ frontend, backends }) => frontend === want.frontend && JSON.stringify(backends) === JSON.stringify([...want.backends].sort()))

/** One or several services, all of which one listing must have: a listing takes a second on an emulated node. */
export type Services = ServiceCriteria | readonly ServiceCriteria[]

const each = (want: Services): readonly ServiceCriteria[] => ('frontend' in want ? [want] : want)
const serviceText = (want: Services): string => each(want).map(({ frontend, backends }) => `the service ${frontend} with backends ${[...backends].sort().join(', ') || '(none)'}`).join(', and ')

/** With `.not` none of them may be there: so it "holds" as long as one is. */
const holds = (rows: readonly ServiceRow[], want: Services, isNot: boolean): boolean =>
  isNot ? each(want).some((one) => same(rows, one)) : each(want).every((one) => same(rows, one))

/** `cilium service list` has the frontend with exactly these backends; as JSON or, where the agent has none, as table. */
export const listsService = (cli: AgentCli, want: Services, isNot: boolean, options: PollOptions = {}): Promise<Verdict> =>
  poll(cli, ['service', 'list', '-o', 'json'], serviceText(want), (text) => holds(text.trimStart().startsWith('[') ? parseServiceJson(text) : parseServiceTable(text), want, isNot), isNot, options)

/** `cilium bpf lb list` has the frontend with exactly these backends. */
export const listsLoadBalancer = (cli: AgentCli, want: Services, isNot: boolean, options: PollOptions = {}): Promise<Verdict> =>
  poll(cli, ['bpf', 'lb', 'list'], serviceText(want), (text) => holds(parseLbList(text), want, isNot), isNot, options)
