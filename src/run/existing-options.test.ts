import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { commandOf } from './command-line.ts'
import { parseE2e } from './options.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-existing-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const kubeconfig = join(dir, 'kubeconfig')
writeFileSync(kubeconfig, JSON.stringify({ apiVersion: 'v1', kind: 'Config', 'current-context': 'a', clusters: [{ name: 'c', cluster: { server: 'https://198.51.100.1' } }], users: [{ name: 'u', user: {} }], contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }] }))
const driver = join(dir, 'blind.ts')
writeFileSync(driver, 'export default { name: "blind", prepareImages: () => [], plan: () => ({}) }\n')
const existing = ['--cluster', 'existing', '--kubeconfig', kubeconfig]

test('an existing cluster is one cell, and the command that repeats it names it', async () => {
  const options = (await parseE2e([...existing, '--agent-namespace', 'net', '--workload-image', 'example.org/w:1', '--suite', 'policy']))!
  expect(options.cells).toEqual([{ name: 'existing', kernel: 'existing' }])
  expect(options.existing).toEqual({ kubeconfig, workloadImage: 'example.org/w:1', agentNamespace: 'net' })
  expect(commandOf('existing', options)).toBe(`npm run e2e -- --cluster existing --kubeconfig ${kubeconfig} --workload-image example.org/w:1 --agent-namespace net --suite policy`)
})

test('an agent that is found is not asked for what installing it takes', async () => {
  expect(await parseE2e([...existing, '--agent', 'cilium'])).toMatchObject({ agent: 'cilium' })
})

test.each([
  ['another kind of cluster', ['--cluster', 'exisitng'], '--cluster exisitng: takes existing (did you mean "existing"?)'],
  ['no kubeconfig', ['--cluster', 'existing'], '--cluster existing needs --kubeconfig FILE'],
  ['a kubeconfig without it', ['--kubeconfig', kubeconfig], '--kubeconfig goes with --engine kubernetes or --cluster existing'],
  ['a kernel', [...existing, '--kernel', '6.1'], '--kernel does not go with --cluster existing: its machines, their kernels and its agent are as they are'],
  ['a run to keep', [...existing, '--keep'], /^--keep does not go/],
  ['no snapshot', [...existing, '--no-snapshot'], /^--no-snapshot does not go/],
  ['an unknown context', [...existing, '--context', 'b'], /--context b: .* has no such context/],
  ['no SSH configuration', [...existing, '--ssh-config', join(dir, 'nowhere')], /--ssh-config .*nowhere: ENOENT/],
  ['a driver that cannot find its agent', [...existing, '--agent', driver], 'the driver blind does not say how an agent is found that somebody else installed'],
])('%s is a usage error', async (_what, args, message) => {
  await expect(parseE2e(args)).rejects.toMatchObject({ blame: 'usage', message: typeof message === 'string' ? message : expect.stringMatching(message) as string })
})
