import { distance } from 'fastest-levenshtein'

/** The known name most like `name`, or undefined when none is near enough to be what was meant. */
export function closest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((candidate) => ({ candidate, d: distance(name.toLowerCase(), candidate.toLowerCase()) })).sort((a, b) => a.d - b.d)
  const best = ranked[0]
  return best && best.d <= Math.max(2, Math.floor(best.candidate.length / 2)) ? best.candidate : undefined
}

/** ` (did you mean "6.1"?)` or an empty string: the tail of an unknown-name message. */
export function didYouMean(name: string, known: readonly string[]): string {
  const match = closest(name, known)
  return match === undefined ? '' : ` (did you mean "${match}"?)`
}
