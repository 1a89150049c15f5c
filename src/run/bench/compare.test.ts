import { expect, it } from 'vitest'
import type { Context } from '../../core/context.ts'
import { LineProgress } from '../../core/progress.ts'
import { compare, median, ratio, samplesText, type Metric } from './compare.ts'

const seconds: Metric = { name: 'time', unit: 's', better: 'less', digits: 1 }
const ctx = { progress: new LineProgress(() => undefined) } as unknown as Context

it('takes turns, so that neither side always comes first', async () => {
  const order: string[] = []
  const side = (name: string, value: number) => ({ name, measure: () => Promise.resolve((order.push(name), [value])) })
  const samples = await compare({ metrics: [seconds], sides: [side('a', 1), side('b', 3)] }, 3, ctx)
  expect(order).toEqual(['a', 'b', 'b', 'a', 'a', 'b'])
  expect(samples.sides).toEqual([{ name: 'a', values: [[1, 1, 1]] }, { name: 'b', values: [[3, 3, 3]] }])
})

it('finds the middle', () => {
  expect(median([5, 1, 3])).toBe(3)
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

it('gives a ratio above 1 to the better side, whichever way is better', () => {
  expect(ratio(seconds, [2, 2, 9], [10, 10, 1])).toBe(5)
  expect(ratio({ ...seconds, better: 'more' }, [30], [10])).toBe(3)
  expect(ratio(seconds, [4], [2])).toBe(0.5)
})

it('says who is better, and by how much', () => {
  const text = samplesText({ metrics: [seconds], sides: [{ name: 'kernelbed', values: [[4, 5, 3]] }, { name: 'other', values: [[1, 2, 3]] }] })
  expect(text).toBe([
    'time, s (less is better)',
    '               median     least      most',
    '  kernelbed       4.0       3.0       5.0',
    '  other           2.0       1.0       3.0',
    '  ratio 0.50: kernelbed is 2.0 times worse',
    '',
  ].join('\n'))
})
