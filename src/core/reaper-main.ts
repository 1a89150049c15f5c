/** Entry of the reaper process (reaper.ts): reads what is held from stdin; at its end, cleans up unless told to let go. */
import { createInterface } from 'node:readline'
import { endOwned, sweepProcesses } from './owned.ts'
import type { Owned } from './registry.ts'
import type { ReaperMessage } from './reaper.ts'

// Ctrl-C goes to the whole foreground group; the reaper must outlive it.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined)

const held = new Map<string, Owned>()
const keyOf = (owned: Owned): string => (owned.kind === 'path' ? owned.path : owned.kind === 'command' ? JSON.stringify(owned.argv) : `${owned.pid}:${owned.startTime}`)
let letGo = false

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as ReaperMessage
  if ('hold' in message) held.set(keyOf(message.hold), message.hold)
  else if ('drop' in message) held.delete(keyOf(message.drop))
  else letGo = true
}

if (!letGo) {
  const all = [...held.values()].reverse()
  await Promise.allSettled(all.filter((owned) => owned.kind === 'process').map((owned) => endOwned(owned, 0)))
  const run = process.argv[2]
  if (run) await sweepProcesses(run)
  for (const owned of all) if (owned.kind === 'path') await endOwned(owned, 0).catch(() => undefined)
  await Promise.allSettled(all.filter((owned) => owned.kind === 'command').map((owned) => endOwned(owned, 0)))
}
process.exit(0)
