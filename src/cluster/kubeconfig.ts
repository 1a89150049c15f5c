import { readFileSync, writeFileSync } from 'node:fs'
import type { KeyPair } from './pki.ts'

/** Text of a kubeconfig with everything embedded, so that it can be copied into a machine. JSON, which is YAML too. */
export function kubeconfigText(server: string, ca: string, user: string, pair: KeyPair): string {
  const base64 = (file: string): string => readFileSync(file).toString('base64')
  return `${JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': 'kernelbed',
    clusters: [{ name: 'kernelbed', cluster: { server, 'certificate-authority-data': base64(ca) } }],
    users: [{ name: user, user: { 'client-certificate-data': base64(pair.cert), 'client-key-data': base64(pair.key) } }],
    contexts: [{ name: 'kernelbed', context: { cluster: 'kernelbed', user } }],
  }, undefined, 1)}\n`
}

/** Writes it for its owner only: it holds a private key. */
export function writeKubeconfig(file: string, server: string, ca: string, user: string, pair: KeyPair): string {
  writeFileSync(file, kubeconfigText(server, ca, user, pair), { mode: 0o600 })
  return file
}
