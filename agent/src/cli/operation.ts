import type { EndpointHealthModel } from '../api/models.ts'
import type { ParsedFlags } from '../config/flags.ts'
import type { MetricModel } from '../metrics/metrics.ts'
import { tabulate } from '../text/tabwriter.ts'
import { ask, fetch } from './ask.ts'
import { call } from './client.ts'
import { CommandError, type Action, type Group } from './command.ts'
import { outputFlags, render } from './output.ts'
import { optionLines } from './tables.ts'

const one = { args: { min: 1, max: 1 }, usage: '<endpoint id>' }
const pathOf = (parsed: ParsedFlags, what: string): string => `/v1/endpoint/${encodeURIComponent(parsed.args[0]!)}/${what}`

/** `Name=value` words. */
export function optionsOf(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => {
    const at = word.indexOf('=')
    if (at < 1) throw new CommandError(`Invalid option ${JSON.stringify(word)}: must be <option>=<value>`)
    return [word.slice(0, at), word.slice(at + 1)]
  }))
}

/** What is done to one endpoint. */
export const endpointOperation: Record<string, Action> = {
  health: {
    short: 'View endpoint health', ...one, flags: outputFlags,
    run: async (parsed) => render(parsed, await fetch<EndpointHealthModel>(pathOf(parsed, 'healthz'), `Cannot get endpoint healthz ${parsed.args[0]}`), ({ overallHealth, bpf, policy, connected }) =>
      tabulate([`Overall Health:\t${overallHealth}`, `BPF Health:\t${bpf}`, `Policy Health:\t${policy}`, `Connected:\t${connected ? 'yes' : 'no'}`])),
  },
  regenerate: {
    short: 'Force regeneration of endpoint program', ...one,
    run: async (parsed) => {
      await ask(`Cannot regenerate endpoint ${parsed.args[0]}`, () => call('POST', pathOf(parsed, 'regenerate')))
      return `Endpoint ${parsed.args[0]} successfully regenerated\n`
    },
  },
  config: {
    short: 'View & modify endpoint configuration', usage: '<endpoint id> [<option>=(enable|disable) ...]', args: { min: 1, max: 16 }, flags: outputFlags,
    run: async (parsed) => {
      if (parsed.args.length > 1) {
        const options = optionsOf(parsed.args.slice(1))
        await ask(`Cannot update endpoint ${parsed.args[0]}`, () => call('PATCH', pathOf(parsed, 'config'), options))
        return `Endpoint ${parsed.args[0]} configuration updated successfully\n`
      }
      const model = await fetch<{ realized: { options: Record<string, string> } }>(pathOf(parsed, 'config'), `Cannot get configuration of endpoint ${parsed.args[0]}`)
      return render(parsed, model, ({ realized }) => optionLines(Object.entries(realized.options)))
    },
  },
}

export const metrics: Group = {
  short: 'Access metric status',
  commands: {
    list: {
      short: 'List all metrics', flags: { ...outputFlags, 'match-pattern': { type: 'string', short: 'p', usage: 'Show only metrics whose names match matchpattern' } },
      run: async (parsed) => {
        const pattern = patternOf(parsed.values.get('match-pattern')?.at(-1) ?? '')
        const list = (await fetch<MetricModel[]>('/v1/metrics', 'Cannot get metrics list')).filter(({ name }) => pattern.test(name))
        return render(parsed, list, metricsText)
      },
    },
  },
}

function patternOf(text: string): RegExp {
  try { return new RegExp(text) } catch (error) { throw new CommandError(`Cannot compile regex: ${(error as Error).message}`) }
}

/** Values have six digits after the point, as Go's %f. */
export function metricsText(list: readonly MetricModel[]): string {
  return tabulate(['Metric\tLabels\tValue', ...list.map(({ name, labels, value }) => `${name}\t${Object.entries(labels).map(([key, text]) => `${key}="${text}"`).join(' ')}\t${value.toFixed(6)}`)])
}
