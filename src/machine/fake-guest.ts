/** For tests: an SSH server on loopback that runs commands on this host, in place of a guest's. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { runKey } from './keys.ts'
import { newEd25519Key } from './openssh-key.ts'
import type { MachineHandle } from './types.ts'

export interface FakeGuest {
  readonly handle: MachineHandle
  readonly logins: number
  /** Closes the next `n` channels before their command begins, as dropbear 2022.83 at times does. */
  refuse(n: number): void
  /** Ends all connections as a machine that went away would. */
  drop(): void
  close(): Promise<void>
}

/** Starts one; its key, console and handle are in `dir`. */
export async function startFakeGuest(dir: string): Promise<FakeGuest> {
  const key = runKey({ dir })
  const host = newEd25519Key('host').privateFile
  const connections = new Set<ssh2.Connection>()
  let logins = 0
  let refusals = 0
  const server = new ssh2.Server({ hostKeys: [host] }, (connection) => {
    connections.add(connection)
    connection.on('error', () => undefined).on('close', () => connections.delete(connection))
    connection.on('authentication', (auth) => {
      if (auth.method === 'publickey' && auth.key.data.toString('base64') === key.publicBlob) auth.accept()
      else auth.reject()
    })
    connection.on('ready', () => {
      logins++
      connection.on('session', (accept) =>
        accept().on('exec', (acceptExec, reject, info) => {
          if (refusals-- > 0) reject()
          else run(acceptExec(), info.command)
        }),
      )
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const consoleFile = join(dir, 'console.log')
  writeFileSync(consoleFile, '[    0.1] Linux version 4.9.154\nkernelbed: ready\n')
  const handle: MachineHandle = {
    name: 'node1', index: 1, kernel: { name: '4.9', release: '4.9.154', line: '4.9' }, address: '192.168.77.11', mac: '52:54:00:77:00:01', accel: 'tcg',
    ssh: { host: '127.0.0.1', port, user: 'root', keyFile: key.file }, consoleFile, qemu: { pid: process.pid, wireSocket: join(dir, 'w'), qmpSocket: join(dir, 'q') },
  }
  const drop = (): void => connections.forEach((connection) => connection.end())
  return {
    handle,
    get logins() {
      return logins
    },
    drop,
    refuse: (n) => void (refusals = n),
    close: () => new Promise((resolve) => {
      drop()
      server.close(() => resolve())
    }),
  }
}

function run(channel: ssh2.ServerChannel, command: string): void {
  const child = spawn('sh', ['-c', command], { stdio: 'pipe' })
  child.stdin.on('error', () => undefined)
  channel.on('error', () => undefined)
  channel.pipe(child.stdin)
  child.stdout.pipe(channel, { end: false })
  child.stderr.pipe(channel.stderr, { end: false })
  child.once('close', (code, signal) => {
    if (signal) channel.exit(signal.replace('SIG', ''))
    else channel.exit(code ?? 0)
    channel.end()
  })
}
