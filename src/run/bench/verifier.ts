import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { z } from 'zod'
import { attachAgent, loadDriver } from '../../agent/index.ts'
import { execInPod } from '../../cluster/index.ts'
import { columns } from '../../core/columns.ts'
import type { Context } from '../../core/context.ts'
import { KernelbedError, usageError } from '../../core/errors.ts'
import { inStep } from '../../core/progress.ts'
import { bringUp } from '../bring-up.ts'
import type { E2eOptions } from '../options.ts'

/** Instructions of a program, and how many the verifier went through. */
type Counts = readonly [instructions: number, processed: number]
export interface Counted { readonly release: string; readonly programs: Readonly<Record<string, Counts>> }

const line = z.object({ name: z.string(), instructions: z.number(), processed: z.number() })
const recordedFile = z.record(z.string(), z.object({ release: z.string(), programs: z.record(z.string(), z.tuple([z.number(), z.number()])) }))

/**
 * What the kernel's verifier makes of each of the agent's programs, beside what was recorded for this line before; `record` writes it down. Returns what to print;
 * `verifier.json` is in the run's folder. Throws a usage error for an agent that cannot tell.
 */
export async function verifierBench(spec: string, options: E2eOptions, record: boolean, ctx: Context): Promise<string> {
  const { verifier, name } = await loadDriver(options.agent)
  if (!verifier) throw usageError(`the driver ${name} has no command that tells what the verifier makes of its programs`, 'docs/agents.md says how to give one (verifier)')
  const up = await bringUp(spec, options, ctx, () => undefined)
  const agent = await attachAgent(up.cluster.handle, up.agent.handle)
  const { release } = up.kernels[0]!
  const text = await inStep(ctx.progress, 'programs through the verifier', async () => {
    const pod = (await agent.pods()).find(({ node }) => node === up.machines[0]?.name)
    if (!pod) throw new KernelbedError(`${name} has no pod on ${up.machines[0]?.name}`, { blame: 'agent' })
    return (await execInPod(up.cluster.handle, { namespace: agent.handle.namespace, pod: pod.name, container: agent.handle.container }, verifier.command, { timeoutMs: 300_000, signal: ctx.signal })).stdout
  })
  await agent.close()
  const counted: Counted = { release, programs: parseCounts(text, verifier.command) }
  writeFileSync(join(ctx.dir, 'verifier.json'), `${JSON.stringify(counted, undefined, 1)}\n`)
  const recorded = existsSync(verifier.recorded) ? recordedFile.parse(JSON.parse(readFileSync(verifier.recorded, 'utf8'))) : {}
  const key = lineOf(release)
  const table = verifierText(counted, recorded[key])
  if (!record) return `${table}\nrecord it: npm run bench -- verifier --kernel ${spec} --record\n`
  const all = Object.entries({ ...recorded, [key]: counted }).sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
  writeFileSync(verifier.recorded, recordText(Object.fromEntries(all)))
  return `${table}\nrecorded in ${relative('', verifier.recorded)}\n`
}

/** `4.14` of `4.14.67`, `6.1` of `6.1.0-56-cloud-amd64`. */
const lineOf = (release: string): string => release.split('.').slice(0, 2).join('.')

function parseCounts(text: string, command: readonly string[]): Record<string, Counts> {
  try {
    return Object.fromEntries(text.trim().split('\n').map((each) => line.parse(JSON.parse(each))).map(({ name, instructions, processed }) => [name, [instructions, processed] as const]))
  } catch (cause) {
    throw new KernelbedError(`${command.join(' ')} printed something else than a line of JSON a program`, { blame: 'agent', details: text.slice(0, 500), cause })
  }
}

/** A line a program: what changes is then seen in a diff. */
const recordText = (all: Record<string, Counted>): string =>
  `{\n${Object.entries(all).map(([key, { release, programs }]) => ` ${JSON.stringify(key)}: {\n  "release": ${JSON.stringify(release)},\n  "programs": {\n${Object.entries(programs).map(([name, counts]) => `   ${JSON.stringify(name)}: ${JSON.stringify(counts)}`).join(',\n')}\n  }\n }`).join(',\n')}\n}\n`

/** A table of programs, the largest for the verifier first, with what was recorded and by how much that has grown. */
export function verifierText({ release, programs }: Counted, before: Counted | undefined): string {
  const names = Object.keys(programs).sort((a, b) => programs[b]![1] - programs[a]![1])
  const rows = names.map((name) => {
    const [instructions, processed] = programs[name]!
    const was = before?.programs[name]
    return [name, String(instructions), String(processed), ...(before ? [was ? `${was[0]}, ${was[1]}` : 'new', was ? grownBy(processed, was[1]) : ''] : [])]
  })
  const gone = Object.keys(before?.programs ?? {}).filter((name) => !(name in programs))
  const table = columns([['program', 'instructions', 'processed', ...(before ? [`recorded of ${before.release}`, 'processed more'] : [])], ...rows], ['left', 'right', 'right', 'right', 'right'])
  return `${release}: ${names.length} programs\n\n${table.join('\n')}\n${gone.length ? `no longer loaded: ${gone.join(', ')}\n` : ''}`
}

const grownBy = (now: number, was: number): string => (now === was ? '=' : `${now > was ? '+' : ''}${Math.round((now / was - 1) * 100)} %`)
