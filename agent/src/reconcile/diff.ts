/** Brings `have` to `want`: calls `upsert` for new and changed keys, then `remove` for those that are gone, and keeps `have` true at every step. What is the same object as last time is not looked into. */
export function applyDiff<V>(have: Map<string, V>, want: Map<string, V>, act: { upsert: (value: V, key: string) => void; remove: (value: V, key: string) => void }): { changed: number } {
  let changed = 0
  for (const [key, value] of want) {
    const old = have.get(key)
    if (old === value) continue
    const same = old !== undefined && JSON.stringify(old) === JSON.stringify(value)
    if (!same) act.upsert(value, key)
    have.set(key, value)
    if (!same) changed++
  }
  for (const [key, value] of have) {
    if (want.has(key)) continue
    act.remove(value, key)
    have.delete(key)
    changed++
  }
  return { changed }
}
