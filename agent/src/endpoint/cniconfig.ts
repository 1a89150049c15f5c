import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '../files.ts'

const config = { cniVersion: '0.3.1', name: 'cilium', type: 'cilium-cni' }

/**
 * Makes kubelet send pods here. Called once the agent is ready: from then on the node counts as Ready. The plugin is put in place before
 * the configuration that names it, each in one step.
 */
export function installCNI({ plugin, binDir, confDir }: { plugin: string; binDir: string; confDir: string }): void {
  if (binDir !== '') {
    mkdirSync(binDir, { recursive: true })
    copyFileSync(plugin, join(binDir, '.cilium-cni.new'))
    chmodSync(join(binDir, '.cilium-cni.new'), 0o755)
    renameSync(join(binDir, '.cilium-cni.new'), join(binDir, 'cilium-cni'))
  }
  if (confDir !== '') {
    mkdirSync(confDir, { recursive: true })
    replaceFile(join(confDir, '05-cilium.conf'), JSON.stringify(config, null, 2) + '\n')
  }
}

/** Takes back what installCNI has put there, the configuration first: a plugin that is named must be there. */
export function removeCNI({ binDir, confDir }: { binDir: string; confDir: string }): void {
  if (confDir !== '') for (const name of ['05-cilium.conf', '05-cilium.conf.new']) rmSync(join(confDir, name), { force: true })
  if (binDir !== '') for (const name of ['cilium-cni', '.cilium-cni.new']) rmSync(join(binDir, name), { force: true })
}
