/** What a run on an image says. `unknown`: it could not be told (it did not boot, the host failed). */
export type Verdict = 'good' | 'bad' | 'unknown'

/** What was found among images that were ordered from good to bad. Indices. */
export interface Found {
  readonly lastGood: number
  readonly firstBad: number
  /** Images between the two that could not be told; the first bad one may be any of these too. */
  readonly unknown: readonly number[]
}

/**
 * Finds where good turns into bad among `count` images, the first known to be good, the last to be bad: by halves, about log2(count) calls of `judge`. An image that can't be told is
 * passed over for its nearest neighbour, as `git bisect skip` does.
 */
export async function bisectImages(count: number, judge: (index: number) => Promise<Verdict>): Promise<Found> {
  let [good, bad] = [0, count - 1]
  const unknown = new Set<number>()
  for (let next = middle(good, bad, unknown); next !== undefined; next = middle(good, bad, unknown)) {
    const verdict = await judge(next)
    if (verdict === 'good') good = next
    else if (verdict === 'bad') bad = next
    else unknown.add(next)
  }
  return { lastGood: good, firstBad: bad, unknown: [...unknown].filter((index) => index > good && index < bad).sort((a, b) => a - b) }
}

/** The image nearest to the middle between two that has not been tried. */
function middle(good: number, bad: number, tried: ReadonlySet<number>): number | undefined {
  const half = (good + bad) / 2
  return Array.from({ length: Math.max(0, bad - good - 1) }, (_, i) => good + 1 + i).filter((index) => !tried.has(index)).sort((a, b) => Math.abs(a - half) - Math.abs(b - half) || a - b)[0]
}
