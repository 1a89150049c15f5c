/** Renders a header's fields as gopacket's LayerString does: lists of more than four elements become `[..n..]`. */
export type Field = number | boolean | Buffer | Stringer | Stringer[]
export type Fields = Record<string, Field>

/** A value that prints as it is (in Go: a Stringer). */
export interface Stringer { readonly text: string }
export const stringer = (text: string): Stringer => ({ text })

export function layerString(fields: Fields): string {
  return `{${Object.entries(fields).map(([name, value]) => `${name}=${render(value)}`).join(' ')}}`
}

function render(value: Field): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Buffer.isBuffer(value)) return list([...value].map(String))
  if (Array.isArray(value)) return list(value.map((item) => item.text))
  return value.text
}

function list(items: string[]): string {
  return items.length > 4 ? `[..${items.length}..]` : `[${items.join(', ')}]`
}
