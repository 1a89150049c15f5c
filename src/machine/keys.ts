import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newEd25519Key } from './openssh-key.ts'
import type { Context } from '../core/context.ts'

export interface SshKey {
  /** Private key in OpenSSH format, mode 600. */
  readonly file: string
  /** Base64 of the public key blob: the middle word of a .pub file. */
  readonly publicBlob: string
}

/** The run's ed25519 key, made at the first call; `<dir>/ssh/id_ed25519`. Synchronous, so that machines started side by side share one. */
export function runKey(ctx: Pick<Context, 'dir'>): SshKey {
  const file = join(ctx.dir, 'ssh', 'id_ed25519')
  if (!existsSync(file)) {
    mkdirSync(join(ctx.dir, 'ssh'), { recursive: true, mode: 0o700 })
    const key = newEd25519Key('kernelbed')
    writeFileSync(`${file}.pub`, `ssh-ed25519 ${key.publicBlob} kernelbed\n`)
    writeFileSync(file, key.privateFile, { mode: 0o600, flag: 'wx' })
  }
  return { file, publicBlob: readFileSync(`${file}.pub`, 'utf8').split(' ')[1] ?? '' }
}
