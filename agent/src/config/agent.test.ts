import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { readAgentConfig } from './agent.ts'

const made: string[] = []
afterAll(() => { for (const dir of made) rmSync(dir, { recursive: true }) })
const dirWith = (files: Record<string, string>): string => {
  const dir = mkdtempSync(join(tmpdir(), 'lash-config-'))
  made.push(dir)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  return dir
}
const read = (argv: string[], env: NodeJS.ProcessEnv = {}) => readAgentConfig(argv, env, 'host')

it('takes flags before environment before the folder before defaults', () => {
  const dir = dirWith({ 'enable-policy': 'always\n', 'tunnel-port': '1', debug: 'true', 'k8s-api-host': '' })
  const config = read(['--config-dir', dir, '--tunnel-port=3'], { CILIUM_TUNNEL_PORT: '2', CILIUM_ENABLE_POLICY: 'never', KUBERNETES_SERVICE_HOST: '10.96.0.1', K8S_NODE_NAME: 'node1' })
  expect(config).toMatchObject({ 'tunnel-port': 3, 'enable-policy': 'never', debug: 'true', 'k8s-api-host': '10.96.0.1', 'node-name': 'node1', 'monitor-num-pages': 64 })
})

it('names the nearest setting', () => {
  expect(() => read(['--enable-polcy=never'])).toThrow('unknown flag: --enable-polcy, did you mean "enable-policy"?')
  const dir = dirWith({ 'monitor-pages': '64' })
  expect(() => read(['--config-dir', dir])).toThrow(`unknown setting "monitor-pages" in ${dir}, did you mean "monitor-num-pages"?`)
})

it('says what is wrong with a value', () => {
  expect(() => read(['--monitor-num-pages=63'])).toThrow('monitor-num-pages="63": must be a power of two')
  expect(() => read(['--cluster-cidr=10.0.0.0'])).toThrow('cluster-cidr="10.0.0.0": not an IPv4 prefix such as 10.244.0.0/16')
  expect(() => read(['--tunnel=gre'])).toThrow('tunnel="gre": must be vxlan or geneve')
})
