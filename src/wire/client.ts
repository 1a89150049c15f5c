import { createConnection } from 'node:net'
import { KernelbedError } from '../core/errors.ts'
import { Answer, type RequestInput } from './control.ts'

/** Sends one request on a connection of its own. Throws KernelbedError when the switch is gone or refuses. */
export async function request(control: string, body: RequestInput, timeoutMs = 30_000): Promise<Answer & { ok: true }> {
  const line = await roundTrip(control, JSON.stringify(body), timeoutMs).catch((cause: unknown) => {
    throw new KernelbedError(`the wire switch does not answer (${body.op}): ${cause instanceof Error ? cause.message : String(cause)}`, { blame: 'host', hint: 'see logs/wire.log in the run folder', cause })
  })
  const answer = Answer.parse(JSON.parse(line))
  if (!answer.ok) throw new KernelbedError(`wire: ${body.op} failed: ${answer.error}`, { blame: 'host' })
  return answer
}

function roundTrip(control: string, line: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path: control })
    let text = ''
    socket.setEncoding('utf8')
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    socket.on('connect', () => socket.end(`${line}\n`))
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('error', reject)
    socket.on('close', () => (text.endsWith('\n') ? resolve(text.trimEnd()) : reject(new Error('it closed the connection'))))
  })
}
