import { StringDecoder } from 'node:string_decoder'
import type { Readable } from 'node:stream'
import type { RemoteCommand } from './ssh-session.ts'
import type { GuestStream } from './types.ts'

/** The lines of a running command, stdout and stderr as they come. Lines printed before the first listener was added are kept for it. */
export function guestStream(remote: RemoteCommand): GuestStream {
  const listeners: ((line: string) => void)[] = []
  const early: string[] = []
  const emit = (line: string): void => {
    if (listeners.length === 0) early.push(line)
    for (const listener of listeners) listener(line)
  }
  remote.stdin.end()
  const rests = [eachLine(remote.stdout, emit), eachLine(remote.stderr, emit)]
  const done = remote.done.then((exit) => {
    for (const rest of rests) rest()
    return exit.exitCode
  })
  return {
    onLine: (listener) => {
      listeners.push(listener)
      for (const line of early.splice(0)) listener(line)
    },
    done,
    stop: async () => {
      await remote.kill()
      await done
    },
  }
}

/** Returns a function that emits a last line without an end. */
function eachLine(stream: Readable, emit: (line: string) => void): () => void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  stream.on('data', (chunk: Buffer) => {
    const parts = (rest + decoder.write(chunk)).split('\n')
    rest = parts.pop() ?? ''
    for (const line of parts) emit(line)
  })
  return () => {
    if (rest) emit(rest)
    rest = ''
  }
}
