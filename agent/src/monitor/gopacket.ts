/** Renders a header's fields as gopacket's LayerString does: lists of more than four elements become `[..n..]`. */
export type Field = number | boolean | Buffer | Stringer | Stringer[]
export type Fields = Record<string, Field>

/** A value that prints as it is (in Go: a Stringer). */
export interface Stringer { readonly text: string }
export const stringer = (text: string): Stringer => ({ text })
/** One whose text is made when it is printed. */
export const lazy = (print: () => string): Stringer => ({ get text() { return print() } })

/** Runs for every header of every event, in a machine that may be emulated: no arrays for what is only counted. */
export function layerString(fields: Fields): string {
  let text = '{'
  for (const name in fields) text += `${text.length > 1 ? ' ' : ''}${name}=${render(fields[name]!)}`
  return `${text}}`
}

function render(value: Field): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (!Buffer.isBuffer(value) && !Array.isArray(value)) return value.text
  if (value.length > 4) return `[..${value.length}..]`
  return `[${(Buffer.isBuffer(value) ? [...value].map(String) : value.map(({ text }) => text)).join(', ')}]`
}
