import { parseJson } from './parse-json.ts'
import { parseText } from './parse-text.ts'
import { summaryOfLayers } from './summary.ts'
import { isPacket, type MonitorEvent } from './types.ts'

/** One line of `cilium monitor` (plain, `-v`, or `-j`) as a typed event; never throws: what is not understood is `unparsed`. */
export function parseMonitorLine(line: string): MonitorEvent {
  const trimmed = line.replace(/\r$/, '')
  if (trimmed.startsWith('{')) {
    const event = parseJson(trimmed)
    if (event) return event
  }
  return parseText(trimmed)
}

/**
 * Parses a stream of lines. In the verbose form a packet's layers follow its event on lines of their own: they are merged into it, so such an
 * event is given out when the next line that is no layer arrives, or by `flush`.
 */
export class MonitorParser {
  #pending: MonitorEvent | undefined
  readonly #layers = new Map<string, Readonly<Record<string, string>>>()

  push(line: string): MonitorEvent[] {
    const event = parseMonitorLine(line)
    if (event.type === 'layer' && this.#pending) {
      this.#layers.set(event.layer.toLowerCase(), event.fields)
      this.#pending = { ...this.#pending, raw: `${this.#pending.raw}\n${event.raw}` }
      return []
    }
    const out = this.flush()
    if (isPacket(event) && event.summary.text === '') this.#pending = event
    else out.push(event)
    return out
  }

  flush(): MonitorEvent[] {
    const event = this.#pending
    this.#pending = undefined
    const layers = new Map(this.#layers)
    this.#layers.clear()
    if (!event) return []
    return [isPacket(event) && layers.size ? { ...event, summary: summaryOfLayers(layers) } : event]
  }
}
