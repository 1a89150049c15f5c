import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { EndpointModel, IdentityModel, PolicyModel } from '../api/models.ts'
import { isGiven, type ParsedFlags } from '../config/flags.ts'
import { parseLabel } from '../identity/labels.ts'
import { hasLabels, type RuleLabel } from '../policy/rule.ts'
import { sortedJson } from '../text/gojson.ts'
import { ask } from './ask.ts'
import { call, get } from './client.ts'
import { CommandError, type Group } from './command.ts'
import { outputFlags, render } from './output.ts'

/** `cilium policy`: rules that are imported by hand, and questions about all. */
export const policy: Group = {
  short: 'Manage security policies',
  commands: {
    get: { short: 'Display policy node information', usage: '[<labels>]', args: { max: 64 }, flags: outputFlags, run: getPolicy },
    import: { short: 'Import security policy', usage: '<path>', args: { min: 1, max: 1 }, flags: { ...outputFlags, print: { type: 'bool', usage: 'Print policy after import' } }, run: importPolicy },
    validate: {
      short: 'Validate a policy', usage: '<path>', args: { min: 1, max: 1 },
      flags: { print: { type: 'bool', usage: 'Print policy after validation' }, verbose: { type: 'bool', short: 'v', usage: 'Enable verbose output' } },
      run: async (parsed) => {
        const rules = await rulesOf(parsed.args[0]!)
        return `${isGiven(parsed, 'print') || isGiven(parsed, 'verbose') ? `${sortedJson(rules, 2)}\n` : ''}All policy elements are valid.\n`
      },
    },
    delete: {
      short: 'Delete policy rules', usage: '[<labels>]', args: { max: 64 },
      flags: { ...outputFlags, all: { type: 'bool', usage: 'Delete all policies' }, force: { type: 'bool', short: 'f', usage: 'Skip confirmation' } }, run: deletePolicy,
    },
    trace: {
      short: 'Trace a policy decision', usage: '( -s <label context> | --src-identity <security identity> | --src-endpoint <endpoint ID> ) ( -d <label context> | --dst-identity <security identity> | --dst-endpoint <endpoint ID>) [--dport <port>[/<protocol>]',
      flags: {
        ...outputFlags, src: { type: 'list', short: 's', usage: 'Source label context' }, dst: { type: 'list', short: 'd', usage: 'Destination label context' },
        'src-identity': { type: 'number', usage: 'Source identity' }, 'dst-identity': { type: 'number', usage: 'Destination identity' },
        'src-endpoint': { type: 'string', usage: 'Source endpoint' }, 'dst-endpoint': { type: 'string', usage: 'Destination endpoint' },
        'src-k8s-pod': { type: 'string', usage: 'Source k8s pod ([namespace:]podname)' }, 'dst-k8s-pod': { type: 'string', usage: 'Destination k8s pod ([namespace:]podname)' },
        dport: { type: 'list', usage: 'L4 destination port to search on outgoing traffic of the source label context and on incoming traffic of the destination label context' },
        verbose: { type: 'bool', short: 'v', usage: 'Set tracing to TRACE_VERBOSE' },
      },
      run: trace,
    },
    wait: { short: 'Wait for all endpoints to have updated to a given policy revision', usage: '<revision>', args: { min: 1, max: 1 }, flags: { 'max-wait-time': { type: 'number', usage: 'Wait time in seconds before failing (default 360)' } }, run: waitForRevision },
  },
}

const printed = ({ policy: text, revision }: PolicyModel): string => `${text}\nRevision: ${revision}\n`

async function getPolicy(parsed: ParsedFlags): Promise<string> {
  const model = await ask('Cannot get policy', () => get<PolicyModel>('/v1/policy'))
  const wanted = parsed.args.flatMap((arg) => arg.split(',')).map(parseLabel)
  if (wanted.length === 0) return render(parsed, model, printed)
  const rules = (JSON.parse(model.policy) as { labels: RuleLabel[] }[]).filter((rule) => hasLabels(rule, wanted))
  if (rules.length === 0) throw new CommandError(`Cannot get policy: no rule has the labels ${parsed.args.join(' ')}`)
  return render(parsed, { ...model, policy: sortedJson(rules, 2) }, printed)
}

/** Parsed here, so that what is wrong is told without an agent too. yaml and zod are read only for this. */
async function rulesOf(path: string): Promise<unknown[]> {
  const { parsePolicy } = await import('../policy/document.ts')
  const rules = filesOf(path).flatMap((file) => {
    try {
      return parsePolicy(file === '-' ? readFileSync(0, 'utf8') : readFileSync(file, 'utf8'))
    } catch (error) {
      throw new CommandError((error as NodeJS.ErrnoException).code === 'ENOENT' ? `open ${file}: no such file or directory` : (error as Error).message)
    }
  })
  if (rules.length === 0) throw new CommandError(`${path}: no rule in it`)
  return rules
}

/** A folder's policies are those of its files, by name; `-` is the standard input. */
function filesOf(path: string): string[] {
  if (path === '-' || !(statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false)) return [path]
  return readdirSync(path).filter((name) => /\.(json|ya?ml|policy)$/.test(name)).sort().map((name) => join(path, name))
}

async function importPolicy(parsed: ParsedFlags): Promise<string> {
  const rules = await rulesOf(parsed.args[0]!)
  const model = await ask('Cannot import policy', () => call<PolicyModel>('PUT', '/v1/policy', rules))
  return render(parsed, model, (it) => (isGiven(parsed, 'print') ? printed(it) : `Revision: ${it.revision}\n`))
}

async function deletePolicy(parsed: ParsedFlags): Promise<string> {
  const labels = parsed.args.flatMap((arg) => arg.split(','))
  if (labels.length === 0 && !isGiven(parsed, 'all')) throw new CommandError('Need at least one label to delete a policy, or --all')
  const model = await ask('Cannot delete policy', () => call<PolicyModel>('DELETE', '/v1/policy', labels))
  return render(parsed, model, ({ revision }) => `Revision: ${revision}\n`)
}

async function trace(parsed: ParsedFlags): Promise<string> {
  const [from, to] = await Promise.all([labelsOf(parsed, 'src', 'source'), labelsOf(parsed, 'dst', 'destination')])
  const dports = (parsed.values.get('dport') ?? []).map(toPort)
  const result = await ask('Error while tracing', () => call<{ log: string; verdict: string }>('POST', '/v1/policy/resolve', { from, to, dports, verbose: isGiven(parsed, 'verbose') }))
  return render(parsed, result, ({ log, verdict }) => `${'-'.repeat(64)}\n${log}\nFinal verdict: ${verdict}\n`)
}

async function labelsOf(parsed: ParsedFlags, side: 'src' | 'dst', name: string): Promise<string[]> {
  const one = (key: string) => parsed.values.get(`${side}-${key}`)?.at(-1)
  const [identity, endpoint, pod] = [one('identity'), one('endpoint'), one('k8s-pod')]
  const labels = parsed.values.get(side)
  if (labels !== undefined) return labels.map((label) => { const { source, key, value } = parseLabel(label); return `${source === '' ? 'any' : source}:${key}${value === '' ? '' : `=${value}`}` })
  if (identity !== undefined) return (await ask(`Cannot get identity ${identity}`, () => get<IdentityModel>(`/v1/identity/${Number(identity)}`))).labels
  const id = endpoint ?? (pod === undefined ? undefined : `pod-name:${pod.includes(':') ? pod : `default:${pod}`}`)
  if (id === undefined) throw new CommandError(`Missing ${name} argument: -${side[0]} LABELS, --${side}-identity, --${side}-endpoint or --${side}-k8s-pod`)
  return (await ask(`Cannot get endpoint ${id}`, () => get<EndpointModel>(`/v1/endpoint/${encodeURIComponent(id)}`))).status.labels['security-relevant']
}

function toPort(text: string): { port: number; protocol: 'TCP' | 'UDP' | 'ANY' } {
  const [, port = '', protocol = 'any'] = /^(\d+)(?:\/(\w+))?$/.exec(text) ?? []
  const name = protocol.toUpperCase()
  if (port === '' || Number(port) > 65_535) throw new CommandError(`Invalid destination port: ${JSON.stringify(text)}, must be <port>[/<protocol>]`)
  if (name !== 'TCP' && name !== 'UDP' && name !== 'ANY') throw new CommandError(`Invalid destination port: invalid protocol ${JSON.stringify(protocol)}, must be { tcp | udp | any }`)
  return { port: Number(port), protocol: name }
}

async function waitForRevision(parsed: ParsedFlags): Promise<string> {
  const [wanted, seconds] = [Number(parsed.args[0]), Number(parsed.values.get('max-wait-time')?.[0] ?? 360)]
  for (const deadline = Date.now() + seconds * 1000; ;) {
    const behind = (await get<EndpointModel[]>('/v1/endpoint')).filter(({ status }) => status.policy.realized['policy-revision'] < wanted || status.state !== 'ready')
    if (behind.length === 0) return ''
    if (Date.now() > deadline) throw new CommandError(`revision ${wanted} was not reached in ${seconds} s by endpoints ${behind.map(({ id, status }) => `${id} (${status.state}, ${status.policy.realized['policy-revision']})`).join(', ')}`)
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}
