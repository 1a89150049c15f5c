/** A line of a plot: a value for each x. */
export interface Curve { readonly name: string; readonly values: readonly number[] }

/** One plot: values over x, both on logarithmic axes. */
export interface Plot { readonly title: string; readonly unit: string; readonly x: string; readonly xs: readonly number[]; readonly curves: readonly Curve[] }

const size = { width: 420, height: 280, left: 64, right: 16, top: 40, bottom: 64 } as const
/** Blue and orange: told apart in grey too, and by people who don't tell red from green. */
const colours = ['#2f6db5', '#d9822b', '#5b8c3a'] as const

const escape = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)

/** Powers of ten around the values. */
function decades(values: readonly number[]): [number, number] {
  const seen = values.filter((value) => value > 0)
  const [from, to] = [Math.floor(Math.log10(Math.min(...seen))), Math.ceil(Math.log10(Math.max(...seen)))]
  return [from, Math.max(to, from + 1)]
}

/** Plots side by side as one SVG document, which reads on light and dark paper. */
export function plotsSvg(plots: readonly Plot[]): string {
  const width = plots.length * size.width
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${size.height}" viewBox="0 0 ${width} ${size.height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${plots.map((plot, i) => `<g transform="translate(${i * size.width} 0)">${plotSvg(plot)}</g>`).join('\n')}
</svg>
`
}

function plotSvg({ title, unit, x, xs, curves }: Plot): string {
  const [low, high] = decades(curves.flatMap(({ values }) => values))
  const [first, last] = [Math.log10(xs[0]!), Math.log10(xs.at(-1)!)]
  const [right, bottom] = [size.width - size.right, size.height - size.bottom]
  const atX = (value: number): number => size.left + ((Math.log10(value) - first) / (last - first || 1)) * (right - size.left)
  const atY = (value: number): number => bottom - ((Math.log10(value) - low) / (high - low)) * (bottom - size.top)
  const text = (px: number, py: number, anchor: string, content: string, more = ''): string => `<text x="${px.toFixed(1)}" y="${py.toFixed(1)}" text-anchor="${anchor}" ${more}>${escape(content)}</text>`
  const grid = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).map((value) => `<line x1="${size.left}" x2="${right}" y1="${atY(value).toFixed(1)}" y2="${atY(value).toFixed(1)}" stroke="#ddd"/>${text(size.left - 6, atY(value) + 4, 'end', String(Number(value.toPrecision(1))))}`)
  const ticks = xs.map((value) => `<line x1="${atX(value).toFixed(1)}" x2="${atX(value).toFixed(1)}" y1="${bottom}" y2="${bottom + 4}" stroke="#555"/>${text(atX(value), bottom + 17, 'middle', value.toLocaleString('en'))}`)
  const lines = curves.map(({ values }, i) => {
    const colour = colours[i % colours.length]!
    const points = values.map((value, at) => [atX(xs[at]!), atY(value)] as const)
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(' ')}"/>${points.map(([px, py]) => `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3" fill="${colour}"/>`).join('')}`
  })
  const legend = curves.map(({ name }, i) => `<rect x="${size.left + i * 150}" y="${size.height - 16}" width="10" height="10" fill="${colours[i % colours.length]!}"/>${text(size.left + i * 150 + 14, size.height - 7, 'start', name)}`)
  return [text(size.left, 22, 'start', `${title}, ${unit}`, 'font-weight="bold"'), ...grid, ...ticks, text((size.left + right) / 2, bottom + 34, 'middle', x), ...lines, ...legend].join('')
}
