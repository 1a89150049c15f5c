/**
 * kubectl's JSONPath, as far as tests use it: text around `{…}`, `.a.b`, `['a']`, `[0]`, `[-1]`, `[0:2]`, `[0:4:2]`, `[0,2]`, `['a','b']`, `[*]`, `.*`, `..a`, `[?(@.a=="b")]`, `{range …}…{end}`,
 * quoted literals. A missing key gives nothing, as Cilium asks of it.
 */
export function jsonpath(template: string, data: unknown): string {
  const { nodes } = parseNodes(tokenize(template), 0)
  return evaluate(nodes, data, data)
}

type Node = { text: string } | { path: string } | { range: string; body: Node[] }

function tokenize(template: string): Node[] {
  const tokens: Node[] = []
  for (let at = 0; at < template.length;) {
    const open = template.indexOf('{', at)
    if (open < 0) { tokens.push({ text: template.slice(at) }); break }
    if (open > at) tokens.push({ text: template.slice(at, open) })
    const close = closing(template, open)
    tokens.push({ path: template.slice(open + 1, close).trim() })
    at = close + 1
  }
  return tokens
}

function closing(template: string, open: number): number {
  let quote = ''
  for (let at = open + 1; at < template.length; at++) {
    const c = template[at]!
    if (quote !== '') { if (c === quote) quote = '' } else if (c === '"' || c === "'") quote = c
    else if (c === '}') return at
  }
  throw new Error('unclosed action')
}

function parseNodes(tokens: Node[], from: number): { nodes: Node[]; next: number } {
  const nodes: Node[] = []
  for (let at = from; at < tokens.length; at++) {
    const token = tokens[at]!
    if (!('path' in token)) { nodes.push(token); continue }
    if (token.path === 'end') return { nodes, next: at }
    if (!token.path.startsWith('range ')) { nodes.push(token); continue }
    const body = parseNodes(tokens, at + 1)
    nodes.push({ range: token.path.slice('range '.length).trim(), body: body.nodes })
    at = body.next
  }
  return { nodes, next: tokens.length }
}

function evaluate(nodes: Node[], root: unknown, current: unknown): string {
  return nodes.map((node) => {
    if ('text' in node) return node.text
    if ('range' in node) return select(node.range, root, current).map((item) => evaluate(node.body, root, item)).join('')
    const literal = /^"((?:[^"\\]|\\.)*)"$|^'((?:[^'\\]|\\.)*)'$/s.exec(node.path)
    if (literal !== null) return JSON.parse(`"${(literal[1] ?? literal[2] ?? '').replace(/\n/g, '\\n').replace(/(?<!\\)"/g, '\\"')}"`) as string
    return select(node.path, root, current).map(show).join(' ')
  }).join('')
}

const show = (value: unknown): string => (typeof value === 'string' ? value : value === null || value === undefined ? '' : JSON.stringify(value))

const step = /^(?:(\.\.)([\w-]+|\*)?|\.?([\w-]+)|\.\*|\.?\[\s*(?:'([^']*)'|"([^"]*)"|(\*)|(-?\d*:-?\d*(?::-?\d*)?)|(-?\d+)|([^\]?]*,[^\]]*)|\?\((.*?)\))\s*\]|\.$)/

function select(path: string, root: unknown, current: unknown): unknown[] {
  let rest = path
  let values: unknown[] = [rest.startsWith('$') ? root : current]
  if (rest.startsWith('$') || rest.startsWith('@')) rest = rest.slice(1)
  while (rest !== '') {
    const match = step.exec(rest)
    if (match === null) throw new Error(`unrecognized character in action: ${rest}`)
    const [all, deep, deepName, name, single, double, star, slice, index, union, filter] = match
    values = values.flatMap((value) => {
      if (deep !== undefined) return deepName === undefined ? descend(value) : descend(value).flatMap((item) => children(item, deepName))
      if (star !== undefined || all === '.*') return children(value, '*')
      if (slice !== undefined) return Array.isArray(value) ? sliced(value as unknown[], slice) : []
      if (index !== undefined) return Array.isArray(value) && value.at(Number(index)) !== undefined ? [value.at(Number(index)) as unknown] : []
      if (union !== undefined) return membersOf(union).flatMap((member) => select(`[${member}]`, root, value))
      if (filter !== undefined) return (Array.isArray(value) ? value as unknown[] : []).filter((item) => holds(filter, root, item))
      const key = name ?? single ?? double
      return key === undefined ? [value] : children(value, key)
    })
    rest = rest.slice(all.length)
  }
  return values
}

/** `first:end:step`, each of which may be missing; a step counts forwards only, as kubectl's does. */
function sliced(values: unknown[], text: string): unknown[] {
  const [first, end, each] = text.split(':').map((part) => (part === '' ? undefined : Number(part)))
  const size = each ?? 1
  if (size <= 0) throw new Error(`step must be > 0: [${text}]`)
  return values.slice(first, end).filter((_, i) => i % size === 0)
}

/** The parts of `0, -1` or of `'a', "b,c"`. Throws for what is neither. */
function membersOf(union: string): string[] {
  const members = union.match(/'[^']*'|"[^"]*"|[^,'"]+/g)?.map((member) => member.trim()).filter((member) => member !== '') ?? []
  const wrong = members.find((member) => !/^(?:-?\d+|-?\d*:-?\d*(?::-?\d*)?|'[^']*'|"[^"]*"|\*)$/.test(member))
  if (wrong !== undefined || members.length === 0) throw new Error(`unrecognized character in action: [${union}]`)
  return members
}

function children(value: unknown, key: string): unknown[] {
  if (value === null || typeof value !== 'object') return []
  if (key === '*') return Object.values(value)
  return Object.hasOwn(value, key) ? [(value as Record<string, unknown>)[key]] : []
}

function descend(value: unknown): unknown[] {
  return value === null || typeof value !== 'object' ? [] : [value, ...Object.values(value).flatMap(descend)]
}

function holds(filter: string, root: unknown, item: unknown): boolean {
  const match = /^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$/s.exec(filter.trim())
  if (match === null) return select(filter.trim(), root, item).length > 0
  const [, left = '', operator, right = ''] = match
  const value = (text: string): unknown => {
    const quoted = /^(?:"([^"]*)"|'([^']*)')$/.exec(text)
    if (quoted !== null) return quoted[1] ?? quoted[2]
    if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text)
    if (text === 'true' || text === 'false') return text === 'true'
    return select(text, root, item)[0]
  }
  const [a, b] = [value(left.trim()), value(right.trim())] as [never, never]
  switch (operator) {
    case '==': return a === b
    case '!=': return a !== b
    case '<': return a < b
    case '<=': return a <= b
    case '>': return a > b
    default: return a >= b
  }
}
