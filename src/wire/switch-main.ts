/** Entry of the switch process: `switch-main.ts <control socket>`. Ends on SIGTERM, with its capture files complete. */
import { chmodSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { Controller } from './controller.ts'

const [control] = process.argv.slice(2)
if (control === undefined) {
  process.stderr.write('usage: switch-main.ts CONTROL-SOCKET\n')
  process.exit(2)
}

// Ctrl-C goes to the runner, which ends the switch when it has collected what it needs.
process.on('SIGINT', () => undefined)
process.on('SIGHUP', () => undefined)
process.umask(0o077)

const controller = new Controller()

async function serve(socket: Socket): Promise<void> {
  socket.on('error', () => undefined)
  for await (const line of createInterface({ input: socket })) {
    const answer = await controller.answer(line)
    if (!socket.destroyed) socket.write(`${JSON.stringify(answer)}\n`)
  }
  socket.end()
}

createServer({ allowHalfOpen: true }, (socket) => void serve(socket).catch(() => socket.destroy())).listen(control, () => chmodSync(control, 0o600))

process.on('SIGTERM', () => {
  controller.close()
  process.exit(0)
})
