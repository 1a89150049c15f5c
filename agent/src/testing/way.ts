import net from 'node:net'

/** A way to a server on loopback that can be cut: connections break, and new ones are refused. */
export interface Way { server: string; cut: () => Promise<void>; restore: () => Promise<void>; close: () => Promise<void> }

export async function wayTo(url: string): Promise<Way> {
  const target = Number(new URL(url).port)
  const sockets = new Set<net.Socket>()
  const listener = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1')
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy()).on('close', () => { sockets.delete(socket); other.destroy() })
      socket.pipe(other)
    }
  })
  const listen = (port: number) => new Promise<void>((resolve, reject) => { listener.once('error', reject).listen(port, '127.0.0.1', resolve) })
  const cut = async () => {
    if (!listener.listening) return
    const closed = new Promise((resolve) => { listener.close(resolve) })
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await listen(0)
  const { port } = listener.address() as net.AddressInfo
  return { server: `https://127.0.0.1:${port}`, cut, restore: async () => { if (!listener.listening) await listen(port) }, close: cut }
}
