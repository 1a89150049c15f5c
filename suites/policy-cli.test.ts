import { describe, expect, needs, OTHER_PORT, PORT, test, type Pod } from '../fixtures/index.ts'

/** A folder that node and agent share. */
const file = '/var/run/cilium/suites-policy'
const label = 'suites=policy-cli'

const from = (pod: Pod) => [`k8s:io.kubernetes.pod.namespace=${pod.namespace}`, ...Object.entries(pod.labels).map(([key, value]) => `k8s:${key}=${value}`)].join(',')

describe('rules of the command line', needs('agent:policy-cli', 'node:exec', 'own-agent'), () => {
  test('are validated, imported, enforced, traced and deleted; bad ones are refused and change nothing', async ({ pods, policies, nodes, agent }) => {
    const { a1, client1, b1 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    const cilium = (...argv: string[]) => agent(node).exec(argv).then(({ stdout }) => stdout)
    const rule = (port: string) => [{
      endpointSelector: { matchLabels: { 'k8s:slot': 'a', 'k8s:io.kubernetes.pod.namespace': a1.namespace } }, labels: [{ key: 'suites', value: 'policy-cli' }],
      ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:app': 'client' } }], toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] }],
    }]
    const revision = async () => /Revision: (\d+)/.exec(await cilium('policy', 'get'))?.[1]
    try {
      const before = await revision()
      await node.writeFile(file, JSON.stringify(rule('99999')))
      for (const command of ['validate', 'import']) expect.soft(await agent(node).attempt(['policy', command, file])).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/99999.*value out of range/) as string })
      expect(await revision()).toBe(before)

      await node.writeFile(file, JSON.stringify(rule(String(PORT))))
      await cilium('policy', 'validate', file)
      expect(await cilium('policy', 'import', file)).toMatch(/Revision: \d+/)
      await policies.enforced('of the command line', [a1], true)
      expect(await cilium('policy', 'get', label)).toContain(`"port": "${PORT}"`)
      await Promise.all([expect.soft(client1).toReach(a1), expect.soft(b1).not.toReach(a1), expect.soft(client1).not.toReach(a1, { port: OTHER_PORT })])

      const trace = (source: Pod, port: number) => cilium('policy', 'trace', '-s', from(source), '-d', from(a1), '--dport', `${port}/tcp`)
      const allowed = await trace(client1, PORT)
      expect.soft(allowed).toMatch(/^Tracing From: \[.*k8s:app=client.*\] => To: \[.*k8s:slot=a.*\] Ports: \[8080\/TCP\]$/m)
      expect.soft(allowed).toMatch(/^Found allow rule$/m)
      expect.soft(allowed).toMatch(/^Final verdict: ALLOWED$/m)
      for (const denied of [await trace(b1, PORT), await trace(client1, OTHER_PORT)]) expect.soft(denied).toMatch(/^Final verdict: DENIED$/m)
    } finally {
      await cilium('policy', 'delete', label).catch(() => undefined)
      await node.exec(`rm -f ${file}`)
    }
    await policies.enforced('of the command line', [a1], false)
    await expect(b1).toReach(a1)
  })
})

describe('rules in YAML', needs('agent:policy-yaml', 'agent:policy-cli', 'node:exec', 'own-agent'), () => {
  test('are imported and enforced, those of several documents too', async ({ pods, policies, nodes, agent }) => {
    const { a1, b1, client1 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    const rule = (slot: string, from: string) => `
- endpointSelector: {matchLabels: {"k8s:slot": ${slot}, "k8s:io.kubernetes.pod.namespace": ${a1.namespace}}}
  labels: [{key: suites, value: policy-cli}]
  ingress:
  - fromEndpoints:
    - matchLabels: {"k8s:${from}"}
`
    await node.writeFile(`${file}.yaml`, `${rule('a', 'app": "client')}---${rule('b', 'slot": "a')}`)
    try {
      expect((await agent(node).exec(['policy', 'import', `${file}.yaml`])).stdout).toMatch(/Revision: \d+/)
      await policies.enforced('of YAML', [a1, b1], true)
      await Promise.all([expect.soft(client1).toReach(a1), expect.soft(b1).not.toReach(a1), expect.soft(a1).toReach(b1), expect.soft(client1).not.toReach(b1)])
    } finally {
      await agent(node).exec(['policy', 'delete', label]).catch(() => undefined)
      await node.exec(`rm -f ${file}.yaml`)
    }
    await policies.enforced('of YAML', [a1, b1], false)
  })
})

describe('the enforcement mode', needs('agent:cilium-network-policy', 'agent:policy-cli', 'own-agent'), () => {
  test('never lets all pass, always denies what no rule allows, default enforces where a rule selects', async ({ pods, policies, agent, agents }) => {
    const { a1, b1, client1 } = pods
    const set = (mode: string) => Promise.all([...agents.byNode.keys()].map((node) => agent(node).exec(['config', `PolicyEnforcement=${mode}`])))
    await policies.cilium('clients', { endpointSelector: { matchLabels: { slot: 'a' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }] }] }, [a1, pods.a2])
    try {
      await set('never')
      await policies.enforced('without enforcement', [a1, pods.a2], false)
      await expect(b1).toReach(a1)
      await set('always')
      await policies.enforced('of always', [a1, b1, client1], true)
      await Promise.all([expect.soft(b1).not.toReach(a1), expect.soft(client1).not.toReach(b1)])
    } finally {
      await set('default')
    }
    await policies.enforced('of default', [b1, client1], false)
    await policies.enforced('of default', [a1, pods.a2], true)
    await Promise.all([expect(client1).toReach(b1), expect(client1).toReach(a1), expect(b1).not.toReach(a1)])
  })
})
