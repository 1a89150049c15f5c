import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { ConntrackSweep } from '../datapath/types.ts'
import { createLogger } from '../log.ts'
import { ConntrackGC } from './gc.ts'

const log: string[] = []
let alive = 0, sweeps = 0
const sweepOf = (): ConntrackSweep => ({ table: 'cilium_ct4_global', family: 'ipv4', capacity: 1000, alive: { tcp: alive - 10, other: 10 }, deleted: { tcp: 1, other: 2 } })
const datapath = { collectConntrack: () => { sweeps++; return Promise.resolve([sweepOf()]) } }
let gc: ConntrackGC

beforeEach(() => {
  vi.useFakeTimers()
  log.length = 0
  sweeps = 0
  gc = new ConntrackGC({ datapath, intervalMs: 30_000, log: createLogger({ debug: false, write: (line) => void log.push(line) }) })
})
afterEach(() => { gc.stop(); vi.useRealTimers() })

/** A controller begins its run with a turn of its own. */
const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000 + 10)
const pressure = () => gc.controllers.find(({ name }) => name === 'conntrack-pressure')!.status

it('says that a table is nearly full, once, what that means and what to do, until it is so no more', async () => {
  alive = 899
  await pass(30)
  expect(gc.sweeps).toEqual([sweepOf()])
  expect(pressure()).toMatchObject({ successes: 1, consecutiveFailures: 0 })
  alive = 903
  await pass(60)
  alive = 907
  await pass(60)
  expect(pressure().message).toBe('cilium_ct4_global is 90 % full (1000 connections): beyond that new connections are dropped (CT: Map insertion failed); set bpf-ct-global-tcp-max higher in ConfigMap cilium-config, or see who opens so many: cilium bpf ct list global')
  expect(log.filter((line) => line.includes('90 % full'))).toHaveLength(1)
  alive = 1000
  await pass(30)
  expect(pressure().message).toContain('is 100 % full')
  alive = 500
  await pass(60)
  expect(pressure().consecutiveFailures).toBe(0)
  expect(pressure().message).toBeUndefined()
})

it('sweeps more often while a table fills up', async () => {
  alive = 100
  await pass(120)
  expect(sweeps).toBe(4)
  alive = 800
  await pass(30)
  sweeps = 0
  await pass(60)
  expect(sweeps).toBeGreaterThanOrEqual(10)
  expect(gc.runs).toEqual({ success: expect.any(Number) as number, failure: 0 })
})
