import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { KubeConfig } from '@kubernetes/client-node'
import { joinScript } from './join.ts'
import { containerdConfig, kubeletArgs, kubeletConfig, nodeFiles } from './node-files.ts'
import { createAuthority } from './pki.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-node-'))
afterAll(() => rmSync(dir, { recursive: true }))
const authority = createAuthority(dir)
const node = {
  name: 'node1', address: '192.168.77.11', minor: 20, pauseImage: 'kernelbed.local/pause:1', ca: authority.ca.cert,
  client: authority.issue('c', { commonName: 'system:node:node1', organisations: ['system:nodes'] }), serving: authority.issue('s', { commonName: 'node1', hosts: ['192.168.77.11'] }),
}

describe('what a node gets', () => {
  it('reaches the API server at the address that every node has for it', () => {
    const config = new KubeConfig()
    config.loadFromString(nodeFiles(node).find(({ path }) => path.endsWith('kubeconfig'))?.content ?? '')
    expect(config.getCurrentCluster()?.server).toBe('https://172.31.255.1:6443')
    expect(config.getCurrentUser()?.name).toBe('system:node:node1')
  })

  it('keeps keys and kubeconfig for root', () => {
    const secret = nodeFiles(node).filter(({ content }) => content.includes('PRIVATE KEY') || content.includes('client-key-data'))
    expect(secret.map(({ path }) => path).sort()).toEqual(['/etc/kubernetes/kubeconfig', '/etc/kubernetes/kubelet.key'])
    expect(secret.every(({ mode }) => mode === 0o600)).toBe(true)
  })

  it('runs no image but ours', () => {
    expect(containerdConfig('kernelbed.local/pause:1')).toContain('sandbox_image = "kernelbed.local/pause:1"')
  })

  it('asks the API server who may use the kubelet', () => {
    expect(kubeletConfig(20)).toMatchObject({ authentication: { anonymous: { enabled: false }, webhook: { enabled: true } }, authorization: { mode: 'Webhook' }, readOnlyPort: 0 })
  })

  it('keeps the logs of containers that crashed before', () => {
    expect(kubeletArgs(node)).toContain('--maximum-dead-containers-per-container=5')
  })

  it.each([[20, true], [27, false]])('names the container runtime of kubelet 1.%d the way it knows', (minor, flag) => {
    expect(kubeletArgs({ ...node, minor }).includes('--container-runtime=remote')).toBe(flag)
  })

  it('is written by one shell script that is well-formed', async () => {
    const { runCommand } = await import('../core/command.ts')
    const script = joinScript(nodeFiles(node), kubeletArgs(node))
    await runCommand('sh', ['-n'], { input: script })
    expect(script).not.toContain('PRIVATE KEY')
  })
})
