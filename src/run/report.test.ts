import { execa } from 'execa'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { projectDir } from './places.ts'

let work = ''
beforeEach(() => (work = mkdtempSync(join(tmpdir(), 'kb-report-'))))
afterEach(() => rmSync(work, { recursive: true, force: true }))

async function run(...args: string[]): Promise<{ code: number | undefined; text: string }> {
  const done = await execa(process.execPath, [join(projectDir, 'scripts/report.ts'), ...args], { cwd: work, reject: false, all: true })
  return { code: done.exitCode, text: done.all }
}

function cell(dir: string, kernel: string, outcome = 'failed'): void {
  mkdirSync(join(work, dir), { recursive: true })
  writeFileSync(join(work, dir, 'junit.xml'), '<x/>')
  writeFileSync(join(work, dir, 'result.json'), JSON.stringify({ id: dir, kernel, release: kernel, agent: 'lash', startedAt: '', ms: 1, outcome, tests: [], timeline: [], command: '' }))
}

test('merges run folders, named or found below, each once; links are relative to the report', async () => {
  cell('.kernelbed/runs/a', '4.9')
  cell('artefacts/cell-6.1/runs/b', '6.1')
  mkdirSync(join(work, '.kernelbed/runs/dead'))
  writeFileSync(join(work, '.kernelbed/runs/dead/commands.log'), '')
  const { code, text } = await run('.kernelbed/runs/a', '.kernelbed/runs', 'artefacts')
  expect(text).toMatch(/left out, no result\.json: .*dead/)
  expect(text).toMatch(/report of 2 runs: .*\.kernelbed\/report\.html/)
  expect(code).toBe(0)
  const page = readFileSync(join(work, '.kernelbed/report.html'), 'utf8')
  expect(page).toContain('href="./runs/a/junit.xml"')
  expect(page).toContain('href="./../artefacts/cell-6.1/runs/b/junit.xml"')
  expect(readFileSync(join(work, '.kernelbed/report.junit.xml'), 'utf8')).toContain('<testsuites name="kernelbed">')
  expect(readFileSync(join(work, '.kernelbed/report.md'), 'utf8')).toMatch(/\| \*\*4\.9\*\* \| ✗ failed \|[\s\S]*\| \*\*6\.1\*\* \| ✗ failed \|/)
})

test('--out names the file, its folder is made', async () => {
  cell('a', '4.9')
  expect((await run('a', '--out', 'x/y/r.html')).code).toBe(0)
  expect(readFileSync(join(work, 'x/y/r.html'), 'utf8')).toContain('href="./../../a/junit.xml"')
})

test('the cells of a matrix are found in its folder, although it has a list of commands of its own', async () => {
  cell('m/4.9', '4.9')
  cell('m/6.1', '6.1')
  writeFileSync(join(work, 'm/commands.log'), '')
  const { text } = await run('m')
  expect(text).toMatch(/report of 2 runs/)
  expect(text).not.toMatch(/left out/)
})

test('a kernel that should have a result and has none is an error of the report, not absent from it', async () => {
  cell('a', '6.1', 'passed')
  const { code, text } = await run('a', '--expect', '6.1,4.14')
  expect(text).toMatch(/no result of 4\.14:/)
  expect(text).toMatch(/1 of 2 kernels passed/)
  expect(code).toBe(0)
  expect(readFileSync(join(work, '.kernelbed/report.html'), 'utf8')).toContain('no result of kernel 4.14 was found')
  expect(readFileSync(join(work, '.kernelbed/report.junit.xml'), 'utf8')).toMatch(/run \[4\.14\][\s\S]*<error/)
})

test.each([
  ['no folder', [], /no folder was given[\s\S]*→/],
  ['a folder that is not there', ['nope'], /no folder nope/],
  ['a folder without runs', ['empty'], /empty holds no run/],
  ['a file', ['file'], /file is a file/],
  ['an unknown flag', ['a', '--otu', 'x'], /unknown option '--otu' \(did you mean "--out"\?\)/],
  ['a result that is none', ['broken'], /not the result of a run/],
  ['a folder to write to', ['a', '--out', 'empty'], /--out empty is a folder/],
])('%s: exit code 2, what is wrong, nothing written', async (_what, args, message) => {
  cell('a', '4.9')
  mkdirSync(join(work, 'empty'))
  mkdirSync(join(work, 'broken'))
  writeFileSync(join(work, 'file'), '')
  writeFileSync(join(work, 'broken/result.json'), '{}')
  const { code, text } = await run(...args)
  expect(text).toMatch(message)
  expect(text).not.toMatch(/^\s+at /m)
  expect(code).toBe(2)
  expect(() => readFileSync(join(work, '.kernelbed/report.html'))).toThrow()
})
