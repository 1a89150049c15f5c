import { decodeEvent } from '../datapath/events.ts'
import { isGiven, type Flags, type ParsedFlags } from '../config/flags.ts'
import { formatMessage, lostLine, type Shown, type Verbosity } from '../monitor/format.ts'
import { FrameDecoder, type Frame } from '../monitor/frames.ts'
import { nearest } from '../text/nearest.ts'
import { AgentError, openStream } from './client.ts'
import { CommandError } from './command.ts'

const types = ['agent', 'capture', 'debug', 'drop', 'l7', 'trace']
const reconnect = { everyMs: 1000, forMs: 120_000 }

export const monitorFlags: Flags = {
  from: { type: 'list', usage: 'Filter by source endpoint id' },
  hex: { type: 'bool', usage: 'Do not dissect, print payload in HEX' },
  json: { type: 'bool', short: 'j', usage: 'Enable json output. Shadows -v flag' },
  'related-to': { type: 'list', usage: 'Filter by either source or destination endpoint id' },
  to: { type: 'list', usage: 'Filter by destination endpoint id' },
  type: { type: 'list', short: 't', usage: `Filter by event types [${types.join(' ')}]` },
  verbose: { type: 'bool', short: 'v', usage: 'Enable verbose output' },
}

export interface MonitorOptions { types: Set<string>; from: Set<number>; to: Set<number>; relatedTo: Set<number>; verbosity: Verbosity; hex: boolean }

export function monitorOptions(parsed: ParsedFlags): MonitorOptions {
  const { values } = parsed
  const on = (name: string) => isGiven(parsed, name)
  const ids = (name: string) => new Set((values.get(name) ?? []).map((text) => {
    if (!/^\d+$/.test(text)) throw new CommandError(`invalid argument ${JSON.stringify(text)} for "--${name}" flag: an endpoint id is a number`)
    return Number(text)
  }))
  const wanted = values.get('type') ?? []
  for (const type of wanted) {
    const near = nearest(type, types)
    if (!types.includes(type)) throw new CommandError(`invalid argument ${JSON.stringify(type)} for "-t, --type" flag: Unknown type (${type}). Please use one of the following ones [${types.join(' ')}]${near === undefined ? '' : `, did you mean "${near}"?`}`)
  }
  return { types: new Set(wanted), from: ids('from'), to: ids('to'), relatedTo: ids('related-to'), verbosity: on('json') ? 'json' : on('verbose') ? 'verbose' : 'plain', hex: on('hex') }
}

/** Cilium's filter: a source is the endpoint the program ran for; only drops, traces and requests have a destination. */
export function passes(message: Shown, { types, from, to, relatedTo }: MonitorOptions): boolean {
  if (types.size > 0 && !types.has(message.type)) return false
  const source = message.type === 'agent' ? 0 : message.type === 'l7' ? message.record.source.id : message.source
  const destination = message.type === 'drop' || message.type === 'trace' ? message.dstId : message.type === 'l7' ? message.record.destination.id : 0
  if (from.size > 0 && !from.has(source)) return false
  if (to.size > 0 && !to.has(destination)) return false
  return relatedTo.size === 0 || relatedTo.has(source) || relatedTo.has(destination)
}

/** Turns frames into lines. */
export class MonitorPrinter {
  readonly #options: MonitorOptions
  #names: Record<string, string> = {}
  #greeted = false
  constructor(options: MonitorOptions) { this.#options = options }

  lines(frame: Frame): string[] {
    switch (frame.kind) {
      case 'hello': {
        if (this.#greeted) return []
        this.#greeted = true
        return [`Listening for events on ${frame.cpus} CPUs with ${frame.pages}x${frame.pageSize} of shared memory`, 'Press Ctrl-C to quit']
      }
      // A name stays known after its interface is gone: its last events may come later.
      case 'interfaces': Object.assign(this.#names, frame.names); return []
      case 'lost': return [lostLine(frame.cpu, frame.lost)]
      case 'agent': return this.#format({ type: 'agent', subtype: frame.subtype, message: frame.message })
      case 'l7': return this.#format({ type: 'l7', record: frame.record })
      case 'sample': return this.#format(decodeEvent(frame.cpu, frame.data))
    }
  }

  #format(message: Shown): string[] {
    const { verbosity, hex } = this.#options
    return passes(message, this.#options) ? formatMessage(message, { verbosity, hex, ifname: (ifindex) => this.#names[ifindex] ?? String(ifindex) }) : []
  }
}

/** Prints until it is ended. When the agent restarts it waits for it, so that a monitor outlives its agent as upstream's does. */
export async function monitor(parsed: ParsedFlags): Promise<void> {
  const printer = new MonitorPrinter(monitorOptions(parsed))
  process.stdout.on('error', () => process.exit(0))
  let lastSeen: number | undefined
  for (;;) {
    try {
      const stream = await openStream('/v1/monitor')
      const decoder = new FrameDecoder()
      for await (const chunk of stream) {
        lastSeen = Date.now()
        const text = decoder.push(chunk as Buffer).flatMap((frame) => printer.lines(frame)).map((line) => line + '\n').join('')
        if (text !== '' && !process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve))
      }
      process.stderr.write('level=warning msg="connection closed, waiting for the agent" subsys=monitor\n')
    } catch (error) {
      if (lastSeen === undefined || Date.now() - lastSeen > reconnect.forMs) throw error instanceof AgentError ? new CommandError(`Cannot open monitor: ${error.message}`) : error
    }
    await new Promise((resolve) => setTimeout(resolve, reconnect.everyMs))
  }
}
