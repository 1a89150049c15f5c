import { distance } from 'fastest-levenshtein'

/** The known name most like `name`, when it is like it at all. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: { name: string; score: number } | undefined
  for (const candidate of known) {
    const score = distance(name, candidate)
    if (best === undefined || score < best.score) best = { name: candidate, score }
  }
  return best !== undefined && best.score <= Math.max(2, name.length / 2) ? best.name : undefined
}

/** `, did you mean "x"?`, or nothing. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const best = nearest(name, known)
  return best === undefined ? '' : `, did you mean "${best}"?`
}
