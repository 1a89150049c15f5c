import { Problems } from './problems.ts'

/**
 * Brings `have` to `want`: calls `upsert` for new and changed keys, then `remove` for those that are gone, and keeps `have` true at every step. What is the same object as last time is not
 * looked into. Goes on past what throws; then throws SomeFailed, by key.
 */
export function applyDiff<V>(have: Map<string, V>, want: Map<string, V>, act: { upsert: (value: V, key: string) => void; remove: (value: V, key: string) => void }): void {
  const problems = new Problems()
  for (const [key, value] of want) {
    const old = have.get(key)
    if (old === value) continue
    problems.try(key, () => {
      if (old === undefined || JSON.stringify(old) !== JSON.stringify(value)) act.upsert(value, key)
      have.set(key, value)
    })
  }
  for (const [key, value] of have) {
    if (want.has(key)) continue
    problems.try(key, () => { act.remove(value, key); have.delete(key) })
  }
  problems.end()
}
