import { execa } from 'execa'
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { catalogueNames } from '../kernels/index.ts'
import { projectDir } from './places.ts'

const work = mkdtempSync(join(tmpdir(), 'kb-cli-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** Runs an entry point in an empty working folder, so that anything it starts would be seen there. */
async function run(script: string, ...args: string[]): Promise<{ code: number | undefined; text: string; started: boolean }> {
  const done = await execa(process.execPath, [join(projectDir, 'scripts', `${script}.ts`), ...args], { cwd: work, reject: false, all: true })
  const started = readdirSync(work).includes('.kernelbed')
  return { code: done.exitCode, text: done.all, started }
}

test.each([
  ['an unknown kernel', ['--kernel', '6.13'], /unknown kernel "6\.13".*did you mean "6\.1/s],
  ['an unknown suite', ['--suite', 'polcy'], /unknown suite "polcy" \(did you mean "policy"\?\)/],
  ['an unknown flag', ['--kernal', '6.1'], /unknown option '--kernal' \(did you mean "?--kernel/i],
  ['an unknown agent', ['--agent', 'lsh'], /unknown agent "lsh" \(did you mean "lash"\?\)/],
  ['Cilium without its manifests', ['--agent', 'cilium'], /--agent cilium needs its manifests[\s\S]*--agent-manifests FILE\|DIR\|URL/],
  ['a driver that is not there', ['--agent', './no-driver.ts'], /--agent \.\/no-driver\.ts: there is no such file/],
  ['an option that an agent does not know', ['--agent-option', 'tunel=vxlan'], /--agent-option tunel: lash has no such option \(did you mean "tunnel"\?\)/],
  ['an unknown fault', ['--fault', 'policy-forgets-drops'], /unknown fault .*did you mean "policy-forgets-drop"/],
  ['a suite that no kernel asked for can run', ['--kernel', '6.1', '--suite', 'refusal'], /no suite to run on 6\.1: refusal: the agent must work on 6\.1.*connectivity/s],
  ['a number that is none', ['--nodes', 'two'], /--nodes.*whole number from 1 to 9/s],
  ['no job at all', ['--jobs', '0'], /--jobs.*whole number from 1 to 64/s],
  ['two kernels of one name', ['--kernel', '6.1', '--kernel', '6.1'], /two kernels are called 6\.1\n.*a name of its own/],
  ['a cluster left up by what starts none', ['--prepare-only', '--keep'], /--prepare-only starts no cluster/],
  ['a cluster without its kubeconfig', ['--engine', 'kubernetes'], /needs --kubeconfig FILE/],
  ['a kubeconfig that is none', ['--engine', 'kubernetes', '--kubeconfig', import.meta.filename], /cannot be read|no current context/],
  ['a flag of another engine', ['--engine-image', 'x:1'], /--engine-image goes with --engine kubernetes/],
  ['a stray word', ['6.1'], /too many arguments/],
  ['a kernel file that is not there', ['--kernel', './no-such-image'], /no-such-image/],
])('%s: exit code 2, what is wrong, nothing started', async (_what, args, message) => {
  const { code, text, started } = await run('e2e', ...args)
  expect(text).toMatch(message)
  expect(text).not.toMatch(/^\s+at /m)
  expect(code).toBe(2)
  expect(started).toBe(false)
})

test.each([
  ['a fault that is none', ['--fault', 'wrong-vmi'], /unknown fault "wrong-vmi" of agent lash \(did you mean "wrong-vni"\?\)/],
  ['faults that no kernel asked for can tell', ['--fault', 'refuses-silently', '--kernel', '6.1'], /nothing to run: refusal runs on no kernel asked for \(6\.1\)/],
  ['an agent without faults', ['--agent', 'plain-cni'], /plain-cni has no seeded faults/],
  ['machines that stay', ['--keep'], /mutants takes no --keep/],
  ['suites named twice over', ['--all-suites', '--suite', 'policy'], /both about which suites run/],
])('mutants: %s: exit code 2, what is wrong, nothing started', async (_what, args, message) => {
  const { code, text, started } = await run('mutants', ...args)
  expect(text).toMatch(message)
  expect(code).toBe(2)
  expect(started).toBe(false)
})

test('a file that is no kernel: exit code 3 and one clear message', async () => {
  const file = join(work, 'notes.txt')
  writeFileSync(file, 'x'.repeat(4096))
  const { code, text } = await run('e2e', '--kernel', file)
  expect(text).toMatch(/not a Linux kernel image/)
  expect(text).not.toMatch(/^\s+at /m)
  expect(code).toBe(3)
  truncateSync(file)
  expect((await run('e2e', '--kernel', file)).code).toBe(3)
  expect((await run('e2e', '--kernel', file, '--prepare-only')).code).toBe(3)
})

test('a cluster that is out of reach: exit code 3, one clear message, nothing started', async () => {
  const file = join(work, 'kubeconfig')
  writeFileSync(file, JSON.stringify({ 'current-context': 'c', clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:64999' } }], users: [{ name: 'c', user: {} }], contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }] }))
  rmSync(join(work, '.kernelbed'), { recursive: true, force: true })
  const { code, text, started } = await run('e2e', '--engine', 'kubernetes', '--kubeconfig', file)
  expect(text).toMatch(/^error \(cluster\): cannot reach the API server https:\/\/127\.0\.0\.1:64999: .*\n {2}→ check/)
  expect(code).toBe(3)
  expect(started).toBe(false)
})

test('without a cluster left up, the debugging commands say how to get one', async () => {
  for (const script of ['shell', 'kubectl']) {
    const { code, text } = await run(script, 'node1')
    expect(text).toMatch(/no cluster is up[\s\S]*--keep/)
    expect(code).toBe(2)
  }
  expect((await run('down')).text).toBe('nothing is up')
  expect((await run('down', 'nope')).code).toBe(2)
})

test('help lists every flag and starts nothing', async () => {
  const { code, text, started } = await run('e2e', '--help')
  for (const flag of ['--kernel', '--modules', '--agent', '--suite', '--keep']) expect(text).toContain(flag)
  expect(code).toBe(0)
  expect(started).toBe(false)
})

test('the matrix is one line of JSON for GitHub, and a list for people that leaves no kernel out', async () => {
  const { text, code } = await run('matrix', '--json', '--kernel', '6.1,6.12', '--suite', 'policy')
  expect(JSON.parse(text)).toEqual({ include: ['6.1', '6.12'].map((kernel) => ({ kernel, command: `npm run e2e -- --kernel ${kernel} --suite policy` })) })
  expect(text).not.toContain('\n')
  expect(code).toBe(0)
  const list = await run('matrix')
  expect(list.text.split('\n').map((line) => line.split(' ')[0])).toEqual(catalogueNames)
  expect(list.started).toBe(false)
})
