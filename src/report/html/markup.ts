/** HTML that is safe to put into a page. Only `html`, `json` and `trusted` make it. */
export class Markup {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export type Value = Markup | string | number | undefined | false | readonly Value[]

// Characters that HTML cannot carry or that a terminal would act on; tab and newline stay.
 
const control = /[\u0000-\u0008\u000b-\u001f\u007f]/g
// A bidirectional override would show text in another order than it is.
const overrides = /[\u202a-\u202e\u2066-\u2069]/g
const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text as HTML, for elements and quoted attributes alike. */
export const escapeHtml = (text: string): string => text.replace(control, '\ufffd').replace(overrides, '\ufffd').replace(/[&<>"']/g, (c) => entities[c]!)

/** Template tag: every value is escaped unless it is Markup; arrays are joined, undefined and false vanish. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + render(values[i - 1]) + part))
}

function render(value: Value): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Markup) return value.text
  if (typeof value === 'object') return value.map(render).join('')
  return escapeHtml(String(value))
}

/** Text of ours (style, script) as it is. Never for anything that came from outside. */
export const trusted = (text: string): Markup => new Markup(text)

/** Data for `<script type="application/json">`: with no `<` in it, nothing can end the element or open a comment. */
export const json = (data: unknown): Markup => new Markup(JSON.stringify(data).replaceAll('<', '\\u003c'))

/** A relative link to a file; each segment is encoded, and `./` keeps a name like `javascript:x` a name. */
export const href = (...paths: readonly string[]): string => {
  const segments = paths.join('/').split('/').filter((segment) => segment !== '' && segment !== '.')
  return `./${segments.map(encode).join('/')}`
}

function encode(segment: string): string {
  return segment === '..' ? segment : encodeURIComponent(segment.toWellFormed())
}
