import { describe, expect, needs, test } from '../fixtures/index.ts'

describe('a kernel too old for the agent', () => {
  test('its pod keeps ending, on every node, with its own exit code', async ({ refusing }) => {
    for (const node of refusing.nodes) {
      const { state, exitCode } = await node.pod()
      expect(state, node.name).toMatch(/^CrashLoopBackOff/)
      expect(exitCode, `exit code on ${node.name}`).toBe(refusing.expected.exitCode)
    }
  })

  test('kubectl describe shows CrashLoopBackOff and the exit code', async ({ refusing, annotate }) => {
    const shown = await Promise.all(refusing.nodes.map((node) => node.describe()))
    for (const text of shown) {
      expect(text).toMatch(/State:\s+Waiting\s+Reason:\s+CrashLoopBackOff/)
      expect(text).toMatch(new RegExp(`Last State:\\s+Terminated\\s+Reason:\\s+Error\\s+Exit Code:\\s+${refusing.expected.exitCode}\\s`))
    }
    await annotate(/^ {4}State:[\s\S]*?Exit Code:.*$/m.exec(shown[0] ?? '')?.[0] ?? '')
  })

  test('kubectl logs --previous ends with the one fatal line, which names the running kernel', async ({ refusing, annotate }) => {
    const lines = new Set<string>()
    for (const node of refusing.nodes) {
      const { log, refusals } = await node.previousLog()
      const [said] = refusals
      if (!said || refusals.length > 1) expect.fail(`the agent's log on ${node.name} must have one line that refuses the kernel, ${refusing.expected.fatal.source}, and has ${refusals.length || 'none'}; the whole log:\n${log || '(empty)'}`)
      expect(node.release.startsWith(said.running) && !/^\d/.test(node.release.slice(said.running.length)), `${node.name} runs ${node.release}; the agent says ${said.running}`).toBe(true)
      expect(said.minimal).toBe(refusing.expected.minimal)
      expect(log.trimEnd().split('\n').at(-1)).toBe(said.line)
      lines.add(said.line)
    }
    for (const line of lines) await annotate(line)
  })

  test('it ends before it touches the node: no devices, no pinned maps, no network', needs('node:exec'), async ({ refusing, nodes }) => {
    for (const node of refusing.nodes) await node.pod()
    for (const node of nodes) {
      const { stdout } = await node.exec('ls -d /sys/class/net/cilium_* /sys/fs/bpf/tc/globals/* 2>/dev/null', { allowFailure: true })
      expect(stdout, node.name).toBe('')
    }
    for (const node of refusing.nodes) expect(await node.notReady(), `${node.name} must not be Ready`).toMatch(/network plugin|cni/i)
  })
})

describe('with its check of the kernel bypassed', () => {
  // What an agent can be told is no feature of a kernel.
  // eslint-disable-next-line no-restricted-syntax
  test('the loader says all that the kernel lacks, one line a feature, and ends', needs('own-agent'), async ({ refusing, annotate, skip }) => {
    const { bypass } = refusing.expected
    if (!bypass) return skip('this agent cannot be told to go on')
    for (const { node, release, exitCode, missing, expected, log } of await refusing.withCheckBypassed(bypass)) {
      for (const { line } of node === refusing.nodes[0]?.name ? missing : []) await annotate(line)
      expect(expected, `what the agent needs and ${release} lacks`).not.toHaveLength(0)
      const text = ({ feature, since }: { feature: string; since: string }): string => `${feature}, came with ${since}`
      expect(missing.map(text).sort(), `features that ${node} (${release}) lacks; its log:\n${log}`).toEqual(expected.map(text).sort())
      for (const { answer, line } of missing) expect(answer, line).toMatch(/\bE[A-Z]+\b/)
      expect(exitCode, `exit code on ${node}`).toBe(bypass.exitCode)
    }
  })
})
