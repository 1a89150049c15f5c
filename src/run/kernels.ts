import { Command } from 'commander'
import { didYouMean } from '../core/closest.ts'
import { columns } from '../core/columns.ts'
import { explain, usageError } from '../core/errors.ts'
import { availabilityOf, catalogue, catalogueNames, findFeature, resolveKernel, type Availability, type CatalogueKernel } from '../kernels/index.ts'
import { parseFlags } from './flags.ts'
import { inSession, type Session } from './session.ts'

/**
 * `npm run kernels`: a table of the catalogue: cached, available here, or not and why. `npm run kernels -- fetch 5.10`, `fetch all`: into the cache. Answers 0, 3 when a kernel
 * could not be fetched, 130 when stopped; throws usage errors.
 */
export async function kernels(argv: readonly string[]): Promise<number> {
  const asked = parse(argv)
  if (!asked) return 0
  return inSession((session) => (asked.fetch === undefined ? list(session) : fetchAll(asked.fetch, asked.trustOnFirstUse, session)))
}

interface Asked { readonly fetch?: readonly string[]; readonly trustOnFirstUse: boolean }

const commands = ['list', 'fetch'] as const

function parse(argv: readonly string[]): Asked | undefined {
  const program = parseFlags(new Command('npm run kernels --')
    .description('Lists the kernels of the catalogue, or fetches some into the cache.')
    .argument('[command]', 'list (the default), or fetch')
    .argument('[lines...]', 'what to fetch: lines of the catalogue, or all')
    .option('--trust-on-first-use', 'take what no known key signs, record its digest, and hold the source to it from then on', false), argv)
  if (!program) return undefined
  const [command = 'list', ...lines] = program.args
  const { trustOnFirstUse } = program.opts<{ trustOnFirstUse: boolean }>()
  if (command !== 'list' && command !== 'fetch') throw usageError(`unknown command "${command}"${didYouMean(command, commands)}`, `npm run kernels lists the kernels; npm run kernels -- fetch ${catalogueNames.includes(command) ? command : '5.10'} fetches one`)
  if (command === 'list') {
    if (lines.length > 0 || trustOnFirstUse) throw usageError(lines.length > 0 ? `too many words: ${lines.join(' ')}` : '--trust-on-first-use goes with fetch', 'npm run kernels -- fetch 5.10 fetches a kernel')
    return { trustOnFirstUse }
  }
  const known = [...catalogueNames, 'all']
  if (lines.length === 0) throw usageError('fetch what?', `lines: ${known.join(', ')}`)
  for (const line of lines) if (!known.includes(line)) throw usageError(`unknown kernel "${line}"${didYouMean(line, known)}`, `known: ${known.join(', ')}`)
  return { fetch: lines.includes('all') ? catalogueNames : [...new Set(lines)], trustOnFirstUse }
}

async function fetchAll(names: readonly string[], trustOnFirstUse: boolean, { ctx }: Session): Promise<number> {
  const errors: string[] = []
  for (const name of names) {
    try {
      const kernel = await resolveKernel(name, { trustOnFirstUse }, ctx)
      process.stdout.write(`✓ ${name}: ${kernel.release} (${kernel.source})\n    ${kernel.image}\n`)
    } catch (error) {
      if (ctx.signal.aborted || names.length === 1) throw error
      errors.push(name)
      process.stdout.write(`✗ ${name}\n${explain(error).replace(/^/gm, '    ')}\n`)
    }
  }
  if (errors.length > 0) process.stdout.write(`not fetched: ${errors.join(', ')}\n`)
  return errors.length > 0 ? 3 : 0
}

async function list({ ctx }: Session): Promise<number> {
  process.stdout.write(kernelTable(catalogue, await availabilityOf(catalogue, ctx)))
  return 0
}

/** The table as it is printed, its last newline included. Why some are not to be had is told below it, once for all of the same reasons. */
export function kernelTable(lines: readonly CatalogueKernel[], found: ReadonlyMap<string, Availability>): string {
  const rows = lines.map((kernel) => {
    const at = found.get(kernel.name)
    return [kernel.name, at?.state ?? '', at && at.state !== 'no' ? at.what : '', agentOf(kernel), at && at.state !== 'no' ? withKeyId(at.from) : '']
  })
  const table = columns([['kernel', 'state', 'version', 'agent', 'from'], ...rows])
  return `${[...table, ...reasons(lines, found), ...lacks(lines)].join('\n')}\n`
}

/** The last 16 digits of a key's fingerprint are its id. */
const withKeyId = (text: string): string => text.replace(/\b[0-9A-F]{24}([0-9A-F]{16})\b/g, '$1')

function reasons(lines: readonly CatalogueKernel[], found: ReadonlyMap<string, Availability>): string[] {
  const byReason = Map.groupBy(lines, ({ name }) => {
    const at = found.get(name)
    return at?.state === 'no' ? at.why.join('\n  ') : ''
  })
  return [...byReason].filter(([why]) => why !== '').flatMap(([why, kernels]) => ['', `not to be had here: ${kernels.map(({ name }) => name).join(', ')}`, `  ${why}`, `  → pass one by path (--kernel ${kernels[0]!.name}=FILE: a bzImage, vmlinux, .deb or build), or set KERNELBED_MIRROR to a folder or URL that has it`])
}

const lacks = (lines: readonly CatalogueKernel[]): string[] => {
  const rows = lines.flatMap(({ name, without = [] }) => without.map((lacking) => {
    const feature = findFeature(lacking)
    return `  ${name}: ${lacking}${feature ? `, ${feature.title}: since ${feature.since}` : ''}`
  }))
  return rows.length === 0 ? [] : ['', 'what the agent works without:', ...rows]
}

const agentOf = ({ agent, without = [] }: CatalogueKernel): string => (without.length === 0 ? agent : `${agent} without ${without.length} (below)`)
