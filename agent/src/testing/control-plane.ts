import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { isStatus, KubeClient } from '../k8s/client.ts'
import type { KubeObject } from '../k8s/types.ts'

/** A real etcd and kube-apiserver on loopback, for tests of the control plane. */
export interface ControlPlane { server: string; dir: string; client: () => KubeClient; ca: string; agentToken: () => Promise<string>; stop: () => Promise<void> }

/**
 * KERNELBED_KUBERNETES is a folder with kube-apiserver 1.20 or later and etcd; `npm test` sets it. One built with Go 1.18 or later needs reflect2 1.0.2 in its vendor folder: with 1.0.1,
 * which Kubernetes 1.20 has, it dies of a segmentation fault at the first custom resource.
 */
export const program = (name: string): string => join(process.env['KERNELBED_KUBERNETES'] ?? '/nonexistent', name)
export const controlPlaneAvailable = (): boolean => existsSync(program('kube-apiserver')) && existsSync(program('etcd'))

export async function startControlPlane(): Promise<ControlPlane> {
  const dir = mkdtempSync(join(tmpdir(), 'lash-kube-'))
  const [clientPort, peerPort, securePort] = [await freePort(), await freePort(), await freePort()]
  const children: ChildProcess[] = []
  const run = (name: string, command: string, args: string[]) => {
    const out = openSync(join(dir, `${name}.log`), 'a')
    children.push(spawn(command, args, { stdio: ['ignore', out, out] }))
  }
  makeCertificates(dir)
  const adminToken = 'admin-token'
  writeFileSync(join(dir, 'tokens.csv'), `${adminToken},admin,admin,system:masters\n`)
  const etcd = `http://127.0.0.1:${clientPort}`
  run('etcd', program('etcd'), ['--data-dir', join(dir, 'etcd'), '--listen-client-urls', etcd, '--advertise-client-urls', etcd, '--listen-peer-urls', `http://127.0.0.1:${peerPort}`, '--unsafe-no-fsync'])
  const at = (name: string) => join(dir, name)
  run('kube-apiserver', program('kube-apiserver'), [
    '--etcd-servers', etcd, '--bind-address', '127.0.0.1', '--secure-port', String(securePort), '--insecure-port', '0', '--advertise-address', '172.31.255.1', '--cert-dir', at('run'),
    '--tls-cert-file', at('server.crt'), '--tls-private-key-file', at('server.key'), '--token-auth-file', at('tokens.csv'), '--authorization-mode', 'RBAC',
    '--service-account-key-file', at('sa.pub'), '--service-account-signing-key-file', at('sa.key'), '--service-account-issuer', 'https://kubernetes.default.svc',
    '--service-cluster-ip-range', '10.96.0.0/16,fd96::/112', '--feature-gates', 'IPv6DualStack=true', '--allow-privileged', '--disable-admission-plugins', 'ServiceAccount',
  ])
  const ca = readFileSync(at('ca.crt'), 'utf8')
  writeFileSync(at('admin-token'), adminToken)
  const server = `https://127.0.0.1:${securePort}`
  const client = () => new KubeClient({ server, ca, tokenFile: at('admin-token') })
  const stop = async () => {
    for (const child of [...children].reverse()) {
      child.kill('SIGTERM')
      await new Promise((resolve) => (child.exitCode !== null || child.signalCode !== null ? resolve(undefined) : child.once('exit', resolve)))
    }
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await waitReady(client(), dir)
    await applyManifest(client())
  } catch (error) {
    await stop()
    throw error
  }
  const agentToken = async () => {
    const { status } = await client().create<{ status: { token: string } }>('/api/v1/namespaces/kube-system/serviceaccounts/cilium/token', { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} })
    return status.token
  }
  return { server, dir, client, ca, agentToken, stop }
}

async function waitReady(client: KubeClient, dir: string): Promise<void> {
  let last = ''
  for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
    try { await client.get('/api/v1/namespaces/default'); return } catch (error) { last = String(error) }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`kube-apiserver was not ready in 60 s (${last}); its log ends:\n${readFileSync(join(dir, 'kube-apiserver.log'), 'utf8').slice(-2000)}`)
}

/** Applies agent/manifests/lash.yaml, so that the test proves it too. */
async function applyManifest(client: KubeClient): Promise<void> {
  const text = readFileSync(fileURLToPath(new URL('../../manifests/lash.yaml', import.meta.url)), 'utf8')
  const plurals: Record<string, string> = {
    ServiceAccount: 'serviceaccounts', ClusterRole: 'clusterroles', ClusterRoleBinding: 'clusterrolebindings', CustomResourceDefinition: 'customresourcedefinitions', ConfigMap: 'configmaps', DaemonSet: 'daemonsets',
  }
  for (const document of parseAllDocuments(text)) {
    const object = document.toJS() as Required<KubeObject>
    const root = object.apiVersion === 'v1' ? '/api/v1' : `/apis/${object.apiVersion}`
    const { namespace } = object.metadata
    await client.create(`${root}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${plurals[object.kind]}`, object)
  }
  for (const resource of ['ciliumendpoints', 'ciliumidentities', 'ciliumnetworkpolicies']) {
    for (let i = 0; i < 300; i++) {
      try { await client.get(`/apis/cilium.io/v2/${resource}`); break } catch (error) { if (!isStatus(error, 404)) throw error }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** Runs openssl in a folder. */
export const opensslIn = (dir: string) => (...args: string[]): void => {
  const { status, stderr } = spawnSync('openssl', args, { cwd: dir, encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`)
}

function makeCertificates(dir: string): void {
  mkdirSync(join(dir, 'run'))
  const openssl = opensslIn(dir)
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=lash-test-ca', '-days', '2')
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=kube-apiserver')
  writeFileSync(join(dir, 'san.cnf'), 'subjectAltName=IP:127.0.0.1,IP:10.96.0.1,DNS:localhost\n')
  openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'server.crt', '-days', '2', '-extfile', 'san.cnf')
  openssl('genrsa', '-out', 'sa.key', '2048')
  openssl('rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub')
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => { const { port } = server.address() as net.AddressInfo; server.close(() => resolve(port)) })
  })
}
