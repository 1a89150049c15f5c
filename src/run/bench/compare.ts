import { inStep } from '../../core/progress.ts'
import type { Context } from '../../core/context.ts'

/** What is measured of each side. */
export interface Metric { readonly name: string; readonly unit: string; readonly better: 'less' | 'more'; /** Digits after the point. */ readonly digits: number }

/** One of the things compared: `measure` answers a value for each metric, in their order. */
export interface Side { readonly name: string; measure(): Promise<readonly number[]> }

/** Ours first, then what a user would pick instead. */
export interface Comparison { readonly metrics: readonly Metric[]; readonly sides: readonly [Side, Side] }

/** Values by side and metric, in the order of rounds. */
export interface Samples { readonly metrics: readonly Metric[]; readonly sides: readonly { readonly name: string; readonly values: readonly (readonly number[])[] }[] }

/**
 * Measures both sides in every round, each round beginning with the other one: what the host does meanwhile hits both alike. Throws what a side throws; `rounds` counts.
 */
export async function compare({ metrics, sides }: Comparison, rounds: number, ctx: Context): Promise<Samples> {
  const values = sides.map(() => metrics.map((): number[] => []))
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? [0, 1] : [1, 0]
    for (const at of order) {
      const measured = await inStep(ctx.progress, `round ${round + 1} of ${rounds}: ${sides[at]!.name}`, () => sides[at]!.measure())
      measured.forEach((value, metric) => values[at]![metric]!.push(value))
    }
  }
  return { metrics, sides: sides.map(({ name }, at) => ({ name, values: values[at]! })) }
}

/** The middle value; of an even number the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

/** How many times better ours is than the other: above 1 is in favour of ours. By medians. */
export function ratio({ better }: Metric, ours: readonly number[], theirs: readonly number[]): number {
  const [a, b] = [median(ours), median(theirs)]
  return better === 'less' ? b / a : a / b
}

/** A block a metric: medians, least, most, and the ratio of the medians. */
export function samplesText({ metrics, sides }: Samples): string {
  const width = Math.max(...sides.map(({ name }) => name.length))
  return metrics.map((metric, at) => {
    const number = (value: number): string => value.toFixed(metric.digits).padStart(10)
    const rows = sides.map(({ name, values }) => `  ${name.padEnd(width)}${[median(values[at]!), Math.min(...values[at]!), Math.max(...values[at]!)].map(number).join('')}`)
    const head = `${metric.name}, ${metric.unit} (${metric.better} is better)`
    const times = ratio(metric, sides[0]!.values[at]!, sides[1]!.values[at]!)
    return [head, `  ${''.padEnd(width)}${['median', 'least', 'most'].map((word) => word.padStart(10)).join('')}`, ...rows, `  ratio ${times.toFixed(2)}: ${sides[0]!.name} is ${times >= 1 ? `${times.toFixed(1)} times better` : `${(1 / times).toFixed(1)} times worse`}`].join('\n')
  }).join('\n\n') + '\n'
}
