import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Registry } from '../core/registry.ts'
import { startService, type Service } from '../core/service.ts'
import { loadState, openQmp, saveState } from './qmp.ts'

let dir: string
let registry: Registry
const { signal } = new AbortController()

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kb-qmp-'))
  registry = new Registry()
})

afterEach(async () => {
  await registry.releaseAll()
  rmSync(dir, { recursive: true, force: true })
})

/** A real QEMU whose guest never runs. */
const qemu = (socket: string, ...more: string[]): Promise<Service> =>
  startService(registry, {
    name: 'QEMU', file: 'qemu-system-x86_64', logFile: join(dir, 'qemu.log'), graceMs: 0,
    args: ['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'q35,memory-backend=ram', '-object', 'memory-backend-ram,id=ram,size=64M', '-m', '64M', '-accel', 'tcg', '-S', '-qmp', `unix:${socket},server=on,wait=off`, ...more],
  })

/** The file with the state of a machine that has ended. */
async function saved(): Promise<string> {
  const [socket, state] = [join(dir, 'a'), join(dir, 'state')]
  const service = await qemu(socket)
  const source = await openQmp(socket, () => service.assertAlive(), signal)
  await saveState(source, `cat > ${state}`, signal)
  source.close()
  await service.stop()
  return state
}

describe('QMP, with a real QEMU', () => {
  it('moves the state of one machine into another', async () => {
    const state = await saved()
    expect(statSync(state).size).toBeGreaterThan(1000)
    // Zero pages take next to nothing.
    expect(statSync(state).size).toBeLessThan(8 * 2 ** 20)
    const after = await qemu(join(dir, 'b'), '-incoming', 'defer')
    const target = await openQmp(join(dir, 'b'), () => after.assertAlive(), signal)
    expect(await target.execute('query-status')).toMatchObject({ status: 'inmigrate' })
    await loadState(target, `cat ${state}`, signal)
    expect(await target.execute('query-status')).toMatchObject({ running: false })
    target.close()
  })

  it('says what QEMU says of a state that was cut short', async () => {
    const state = await saved()
    writeFileSync(state, readFileSync(state).subarray(0, 2000))
    const after = await qemu(join(dir, 'b'), '-incoming', 'defer')
    const target = await openQmp(join(dir, 'b'), () => after.assertAlive(), signal)
    await expect(loadState(target, `cat ${state}`, signal)).rejects.toThrow(/QEMU (could not move|refused|closed)/)
    target.close()
  })

  it('passes on a refusal, and the end of QEMU while a command is under way', async () => {
    const socket = join(dir, 'a')
    const service = await qemu(socket)
    const qmp = await openQmp(socket, () => service.assertAlive(), signal)
    await expect(qmp.execute('no-such-command')).rejects.toThrow(/QEMU refused no-such-command: .*not been found/)
    await service.stop()
    await expect(qmp.execute('query-status')).rejects.toThrow(/query-status: .*(closed|EPIPE|ECONNRESET)/)
  })
})

it('ignores events between a command and its answer', async () => {
  const socket = join(dir, 'fake')
  const server = createServer((peer) => {
    peer.write('{"QMP": {}}\n')
    peer.on('data', () => peer.write('{"event": "STOP"}\n{"return": {"n": 1}}\n'))
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  const qmp = await openQmp(socket, () => undefined, signal)
  expect(await qmp.execute('query')).toEqual({ n: 1 })
  qmp.close()
  await new Promise((resolve) => server.close(resolve))
})
