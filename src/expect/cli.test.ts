import { describe, expect, test } from 'vitest'
import { installMatchers } from './matchers.ts'
import type { AgentCli } from './types.ts'

installMatchers()

/** A command line that prints the n-th of `outputs` the n-th time. */
function cliOf(...outputs: (string | Error)[]): AgentCli {
  let n = 0
  return { name: 'cilium on node1', exec: () => {
    const output = outputs[Math.min(n++, outputs.length - 1)] ?? ''
    return output instanceof Error ? Promise.reject(output) : Promise.resolve({ stdout: output })
  } }
}

const lb = (...backends: string[]): string => ['SERVICE ADDRESS   BACKEND ADDRESS', `10.96.0.10:80     ${backends[0] ?? ''}`, ...backends.slice(1).map((backend) => `                  ${backend}`)].join('\n')
const failure = (assertion: Promise<void>): Promise<string> => assertion.then(() => expect.fail('it passed'), (error: unknown) => (error as Error).message)

describe('the agent\'s tables', () => {
  test('are asked for again until they hold', async () => {
    await expect(cliOf(new Error('agent not ready'), 'TUNNEL   VALUE', 'TUNNEL         VALUE\n10.244.1.0:0   192.168.77.12:0')).toListTunnel({ prefix: '10.244.1.0/24', node: '192.168.77.12' })
  })

  test('must have exactly the backends', async () => {
    await expect(cliOf(lb('0.0.0.0:0 (0)', '10.244.1.9:8080 (1)', '10.244.0.9:8080 (1)'))).toListLoadBalancer({ frontend: '10.96.0.10:80', backends: ['10.244.0.9:8080', '10.244.1.9:8080'] })
    expect(await failure(expect(cliOf(new Error('no such map'), lb('10.244.1.9:8080 (1)'))).toListLoadBalancer({ frontend: '10.96.0.10:80', backends: [] }, { withinMs: 250 }))).toMatchInlineSnapshot(`
      "expected cilium on node1 to list the service 10.96.0.10:80 with backends (none)

      last seen, by "bpf lb list":
        SERVICE ADDRESS   BACKEND ADDRESS
        10.96.0.10:80     10.244.1.9:8080 (1)

      call log:
        0.0 s: failed: no such map
        0.2 s: 2 lines"
    `)
  })

  test('are waited for to lose a row', async () => {
    await expect(cliOf(lb('10.244.1.9:8080 (1)'), 'SERVICE ADDRESS   BACKEND ADDRESS')).not.toListLoadBalancer({ frontend: '10.96.0.10:80', backends: ['10.244.1.9:8080'] })
  })
})
