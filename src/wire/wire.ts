import { mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { KernelbedError } from '../core/errors.ts'
import { startService } from '../core/service.ts'
import { waitFor } from '../core/wait.ts'
import { request } from './client.ts'
import { CaptureFollower } from './capture-follower.ts'
import { attachGuests } from './guests.ts'
import type { Context } from '../core/context.ts'
import type { RequestInput } from './control.ts'
import type { Capture, StartedWire, SwitchHandle, Wire, WireHandle } from './types.ts'

/** Starts the switch process; its log is `<dir>/logs/wire.log`. Throws KernelbedError when it doesn't answer within 15 s. */
export async function startWire(ctx: Context): Promise<StartedWire & { readonly handle: SwitchHandle }> {
  const control = join(ctx.sockets, 'wire.sock')
  const socket = ctx.registry.claim('wire control socket', () => rmSync(control, { force: true }))
  socket.hold({ kind: 'path', path: control })
  const service = await startService(ctx.registry, {
    name: 'wire switch',
    file: process.execPath,
    args: [new URL('./switch-main.ts', import.meta.url).pathname, control],
    logFile: join(ctx.dir, 'logs', 'wire.log'),
  })
  await waitFor({ name: 'the wire switch to answer', timeoutMs: 15_000, intervalMs: 20, signal: ctx.signal, evidence: () => service.logTail(10) }, async () => {
    service.assertAlive()
    return { done: await request(control, { op: 'ping' }, 2000).catch((error: unknown) => Promise.reject(error instanceof KernelbedError ? (error.cause as Error) : (error as Error))) }
  })
  return { ...attachSwitch({ control, pid: service.pid }), stop: () => service.stop().finally(() => socket.release()) }
}

/** Reaches the network between machines, from any process of this host: the running switch, or what its machines see of it. */
export const attachWire = (handle: WireHandle): Wire => ('guests' in handle ? attachGuests(handle) : attachSwitch(handle))

function attachSwitch(handle: SwitchHandle): Wire & { readonly handle: SwitchHandle } {
  const { control } = handle
  const order = async (body: RequestInput): Promise<void> => {
    await request(control, body)
  }
  return {
    handle,
    attach: (port, socket) => order({ op: 'attach', port, socket }),
    detach: (port) => order({ op: 'detach', port }),
    capture: (file) => startCapture(control, file),
    cut: (a, b) => order({ op: 'cut', a, ...(b === undefined ? {} : { b }) }),
    restore: () => order({ op: 'restore' }),
    impair: (options) => order({ op: 'impair', ...options }),
    stats: async () => (await request(control, { op: 'stats' })).stats ?? [],
  }
}

async function startCapture(control: string, file: string): Promise<Capture> {
  mkdirSync(dirname(file), { recursive: true })
  const { capture } = await request(control, { op: 'capture', file })
  if (capture === undefined) throw new Error('the switch gave no capture number')
  const follower = new CaptureFollower(file)
  let stopped: Promise<unknown> | undefined
  const flush = async (): Promise<void> => follower.learnSources((await request(control, { op: 'flush', capture })).sources ?? {})
  return {
    file,
    stop: async () => {
      await (stopped ??= flush().then(() => request(control, { op: 'captureStop', capture })))
    },
    frames: async () => {
      await (stopped ?? flush())
      return follower.frames()
    },
  }
}
