import { describe, expect, it } from 'vitest'
import { bisectImages, type Verdict } from './bisect-search.ts'

/** Images of which those from `firstBad` on are bad, and some can't be told. */
const history = (firstBad: number, unknown: readonly number[] = []) => {
  const judged: number[] = []
  return { judged, judge: (index: number): Promise<Verdict> => Promise.resolve((judged.push(index), unknown.includes(index) ? 'unknown' : index >= firstBad ? 'bad' : 'good')) }
}

describe('bisecting', () => {
  it('finds the first bad image wherever it is', async () => {
    for (let firstBad = 1; firstBad < 20; firstBad++) {
      const { judge, judged } = history(firstBad)
      expect(await bisectImages(20, judge)).toEqual({ lastGood: firstBad - 1, firstBad, unknown: [] })
      expect(judged.length).toBeLessThanOrEqual(5)
      expect(new Set(judged).size).toBe(judged.length)
    }
  })

  it('has nothing to try between neighbours', async () => {
    const { judge, judged } = history(1)
    expect(await bisectImages(2, judge)).toEqual({ lastGood: 0, firstBad: 1, unknown: [] })
    expect(judged).toEqual([])
  })

  it('goes round what can\'t be told', async () => {
    const { judge } = history(6, [4, 5])
    expect(await bisectImages(10, judge)).toEqual({ lastGood: 3, firstBad: 6, unknown: [4, 5] })
    expect(await bisectImages(10, history(8, [4, 5]).judge)).toEqual({ lastGood: 7, firstBad: 8, unknown: [] })
  })

  it('says so when nothing in between can be told', async () => {
    expect(await bisectImages(5, history(9, [1, 2, 3]).judge)).toEqual({ lastGood: 0, firstBad: 4, unknown: [1, 2, 3] })
  })
})
