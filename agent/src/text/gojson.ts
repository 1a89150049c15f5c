/** JSON as Go's encoding/json prints it: `<`, `>` and `&` are escaped. Keys keep the order of the object. */
export function goJson(value: unknown, indent?: number): string {
  return (JSON.stringify(value, null, indent) ?? 'null')
    .replace(/[<>&\u2028\u2029]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'))
}

/** The same with keys sorted, as Go prints maps, and go-swagger its models. */
export function sortedJson(value: unknown, indent?: number): string {
  return goJson(sortKeys(value), indent)
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, sortKeys(v)]))
}
