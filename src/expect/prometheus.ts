/** A sample of Prometheus' text format. */
export interface Sample { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number }

const line = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/
const label = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g
const escapes: Readonly<Record<string, string>> = { n: '\n' }

/** The samples of a scrape; comments and what is no sample are left out. https://prometheus.io/docs/instrumenting/exposition_formats/ */
export function parseMetrics(text: string): Sample[] {
  return text.split('\n').flatMap((row) => {
    const [, name, labels = '', value] = line.exec(row.trim()) ?? []
    if (name === undefined) return []
    return [{ name, labels: Object.fromEntries([...labels.matchAll(label)].map(([, key, quoted]) => [key!, quoted!.replace(/\\(.)/g, (_, c: string) => escapes[c] ?? c)])), value: Number(value) }]
  })
}
