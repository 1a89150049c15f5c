import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { KernelbedError } from './errors.ts'
import { processStartTime } from './owned.ts'
import type { Context } from './context.ts'

const leases = join(tmpdir(), `kernelbed-ports-${userInfo().uid}`)

/** True when nothing listens on the loopback port. */
export function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/**
 * A free loopback TCP port that no other run takes meanwhile: leased by an exclusively created file that names the run's process. Between
 * 20000 and 29999, below the kernel's range for outgoing connections, so that none of those can take it before its program listens.
 */
export async function leasePort(ctx: Context): Promise<number> {
  mkdirSync(leases, { recursive: true })
  for (let tries = 0; tries < 500; tries++) {
    const port = 20000 + Math.floor(Math.random() * 10000)
    const file = join(leases, String(port))
    if (!lease(file)) continue
    const claim = ctx.registry.claim(`port ${port}`, () => rmSync(file, { force: true }))
    claim.hold({ kind: 'path', path: file })
    if (await portIsFree(port)) return port
    await claim.release()
  }
  throw new KernelbedError('no free loopback port between 20000 and 29999', { blame: 'host', hint: 'end other runs (npm run down) or other programs that listen on loopback' })
}

function lease(file: string): boolean {
  try {
    writeFileSync(file, `${process.pid} ${processStartTime(process.pid)}`, { flag: 'wx' })
    return true
  } catch {
    if (!isStale(file)) return false
    rmSync(file, { force: true })
    return false
  }
}

/** A lease whose run is gone. Runs kept up by --keep hold theirs by actually listening. */
function isStale(file: string): boolean {
  try {
    const [pid, startTime] = readFileSync(file, 'utf8').split(' ')
    return processStartTime(Number(pid)) !== startTime
  } catch {
    return false
  }
}
