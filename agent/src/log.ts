/** Logging in logfmt as Cilium's agent does: `level=info msg="…" key=value subsys=daemon`, to standard error. */
export type Fields = Record<string, string | number | boolean | undefined | Error>
export type Level = 'debug' | 'info' | 'warning' | 'error' | 'fatal'

export interface Logger {
  debug(msg: string, fields?: Fields): void
  info(msg: string, fields?: Fields): void
  warning(msg: string, fields?: Fields): void
  error(msg: string, fields?: Fields): void
  fatal(msg: string, fields?: Fields): void
  subsys(name: string): Logger
  /** Whether debug messages are written, by this one and all that were made of it. */
  setDebug(on: boolean): void
}

export function formatLog(level: Level, msg: string, subsys: string, fields: Fields = {}): string {
  const pairs = Object.entries(fields).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${quote(text(value))}`]))
  return [`level=${level}`, `msg=${JSON.stringify(msg)}`, ...pairs, `subsys=${subsys}`].join(' ')
}

export function createLogger({ debug, subsys = 'daemon', write }: { debug: boolean; subsys?: string; write?: (line: string) => void }): Logger {
  return loggerOf({ debug }, subsys, write ?? ((line) => void process.stderr.write(`${line}\n`)))
}

function loggerOf(level: { debug: boolean }, subsys: string, write: (line: string) => void): Logger {
  const at = (name: Level) => (msg: string, fields?: Fields) => {
    if (name !== 'debug' || level.debug) write(formatLog(name, msg, subsys, fields))
  }
  return {
    debug: at('debug'), info: at('info'), warning: at('warning'), error: at('error'), fatal: at('fatal'),
    subsys: (name) => loggerOf(level, name, write),
    setDebug: (on) => { level.debug = on },
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function text(value: string | number | boolean | Error): string {
  return value instanceof Error ? value.message : String(value)
}

/** logrus' rule: a value is bare when it has only these characters. */
function quote(value: string): string {
  return /^[A-Za-z0-9\-._/@^+]+$/.test(value) ? value : JSON.stringify(value)
}
