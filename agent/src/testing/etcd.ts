import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, opensslIn, program } from './control-plane.ts'

/** A real etcd on loopback, which wants TLS with client certificates, for tests of the kvstore. */
export interface TestEtcd {
  endpoint: string; dir: string
  /** `kvstore-opt` for an agent that may use it. */
  options: string
  /** The same without a client certificate. */
  strangerOptions: string
  /** Ends it as a crash does. */
  kill: () => Promise<void>
  /** Starts it on the data that it had. */
  start: () => Promise<void>
  stop: () => Promise<void>
}

export const etcdAvailable = (): boolean => existsSync(program('etcd'))

export async function startEtcd(): Promise<TestEtcd> {
  const dir = mkdtempSync(join(tmpdir(), 'lash-etcd-'))
  const [port, peerPort] = [await freePort(), await freePort()]
  const endpoint = `https://127.0.0.1:${port}`
  const at = (name: string): string => join(dir, name)
  makeCertificates(dir)
  writeFileSync(at('etcd.config'), `endpoints:\n- ${endpoint}\nca-file: ${at('ca.crt')}\ncert-file: ${at('client.crt')}\nkey-file: ${at('client.key')}\n`)
  writeFileSync(at('stranger.config'), `endpoints:\n- ${endpoint}\nca-file: ${at('ca.crt')}\n`)
  let child: ChildProcess | undefined
  const peer = `http://127.0.0.1:${peerPort}`
  const start = async (): Promise<void> => {
    const out = openSync(at('etcd.log'), 'a')
    child = spawn(program('etcd'), [
      '--name', 'test', '--data-dir', at('data'), '--listen-client-urls', endpoint, '--advertise-client-urls', endpoint, '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `test=${peer}`,
      '--cert-file', at('server.crt'), '--key-file', at('server.key'), '--trusted-ca-file', at('ca.crt'), '--client-cert-auth', '--heartbeat-interval', '10', '--election-timeout', '50', '--unsafe-no-fsync', '--logger', 'zap', '--log-level', 'warn',
    ], { stdio: ['ignore', out, out] })
    for (const deadline = Date.now() + 30_000; ;) {
      const answer = await health(endpoint, dir)
      if (answer.includes('"health":"true"')) return
      if (Date.now() > deadline || child.exitCode !== null) throw new Error(`etcd is not healthy (${answer}); its log ends:\n${readFileSync(at('etcd.log'), 'utf8').slice(-2000)}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    ending.kill(signal)
    await new Promise((resolve) => ending.once('exit', resolve))
  }
  const stop = async (): Promise<void> => {
    await end('SIGTERM')
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await start()
  } catch (error) {
    await stop()
    throw error
  }
  return { endpoint, dir, options: `etcd.config=${at('etcd.config')}`, strangerOptions: `etcd.config=${at('stranger.config')}`, kill: () => end('SIGKILL'), start, stop }
}

const health = (endpoint: string, dir: string): Promise<string> => new Promise((resolve) => {
  const [ca, cert, key] = ['ca.crt', 'client.crt', 'client.key'].map((name) => readFileSync(join(dir, name)))
  https.get(`${endpoint}/health`, { ca, cert, key, timeout: 2_000 }, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => resolve(text))
  }).on('error', (error) => resolve(error.message))
})

function makeCertificates(dir: string): void {
  const openssl = opensslIn(dir)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=lash-test-etcd-ca', '-days', '2')
  writeFileSync(join(dir, 'san.cnf'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n')
  for (const [name, extensions] of [['server', ['-extfile', 'san.cnf']], ['client', []]] as const) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-out', `${name}.crt`, '-days', '2', ...extensions)
  }
}
