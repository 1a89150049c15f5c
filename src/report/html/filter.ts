/** A flow as the page carries it: line, node, type, verdict, packet, detail, raw. */
export type CompactFlow = readonly (string | number)[]
export interface FlowQuery { readonly text: string; readonly type: string; readonly verdict: string; readonly node: string }

/**
 * Indices of the flows that match. Words of the text must all be in the row, in any column and in any case; a word after `-` must not.
 * The page gets this function as text: it may use nothing but its arguments. `haystacks` are the rows in lower case.
 */
export function matching(rows: readonly CompactFlow[], haystacks: readonly string[], query: FlowQuery): number[] {
  const words = query.text.toLowerCase().split(/\s+/).filter((word) => word !== '' && word !== '-')
  // "->" is how every packet is written, not an exclusion of ">".
  const excluded = words.filter((word) => word.startsWith('-') && word !== '->').map((word) => word.slice(1))
  const wanted = words.filter((word) => !word.startsWith('-') || word === '->')
  const found: number[] = []
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] ?? []
    const text = haystacks[i] ?? ''
    if (query.node !== '' && row[1] !== query.node) continue
    if (query.type !== '' && row[2] !== query.type) continue
    if (query.verdict !== '' && row[3] !== query.verdict) continue
    if (wanted.every((word) => text.includes(word)) && !excluded.some((word) => text.includes(word))) found.push(i)
  }
  return found
}
