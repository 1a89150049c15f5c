import { KernelbedError } from '../core/errors.ts'
import { SshSession, type MachineHandle, type RemoteCommand } from '../machine/index.ts'
import { PcapReader, pcapHeader, type PcapRecord } from './pcap.ts'

/** For an answer of the program in a guest, on a busy host. */
const ANSWER_MS = 30_000

interface Waiting { readonly resolve: () => void; readonly reject: (error: Error) => void }

/** What one machine sends, as the program there tells it (guest/capture.c), in this host's time. */
export class GuestTap {
  readonly #name: string
  readonly #session: SshSession
  readonly #command: string
  readonly #reader = new PcapReader()
  readonly #waiting = new Map<number, Waiting>()
  #remote: RemoteCommand | undefined
  #records: PcapRecord[] = []
  #asked = 0
  #aheadNs = 0n
  #failure: KernelbedError | undefined

  constructor(name: string, ssh: MachineHandle['ssh'], command: string) {
    this.#name = name
    this.#session = new SshSession(ssh)
    this.#command = command
    this.#reader.push(pcapHeader())
  }

  /** Resolves when frames are being captured. Throws KernelbedError. */
  async start(): Promise<void> {
    const greeted = this.#answer(0)
    // Told below, or by #fail; not unhandled when the command can't be started at all.
    greeted.catch(() => undefined)
    const remote = await this.#session.start(this.#command)
    this.#remote = remote
    let stderr = ''
    remote.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    remote.stdin.on('error', () => undefined) // its end is seen below
    remote.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    void remote.done.then(({ exitCode }) => this.#fail(`the capture on ${this.#name} ended (${exitCode === undefined ? 'connection lost' : `exit code ${exitCode}`})`, stderr))
    await greeted
  }

  /** Resolves when every frame that the machine sent before is there to be taken. Throws KernelbedError when some were lost, or the program is gone. */
  async flush(): Promise<void> {
    const answered = this.#answer(++this.#asked)
    this.#remote?.stdin.write('\n')
    await answered
  }

  /** What has been seen since it was last asked. */
  take(): PcapRecord[] {
    return this.#records.splice(0)
  }

  close(): void {
    this.#remote?.stdin.end()
    this.#session.close()
  }

  #answer(number: number): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => reject(new KernelbedError(`the capture on ${this.#name} does not answer within ${ANSWER_MS / 1000} s`, { blame: 'hypervisor' })), ANSWER_MS)
    this.#waiting.set(number, { resolve, reject })
    return promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(number)
    })
  }

  #read(chunk: Buffer): void {
    for (const record of this.#reader.push(chunk)) {
      if (record.data.length) this.#records.push({ ...record, data: Buffer.from(record.data), timeNs: record.timeNs + this.#aheadNs })
      else this.#hear(record)
    }
  }

  /** A message: the greeting tells the guest's time, an answer how many frames were lost. */
  #hear({ length: number, timeNs }: PcapRecord): void {
    const waiting = this.#waiting.get(number)
    if (number === 0) this.#aheadNs = BigInt(Date.now()) * 1_000_000n - timeNs
    const lost = number === 0 ? 0 : Number(timeNs / 1_000_000_000n)
    if (lost) waiting?.reject(new KernelbedError(`the capture on ${this.#name} lost ${lost} frames`, { blame: 'hypervisor', hint: 'the machine had too little processor time; run it again with less beside it' }))
    else waiting?.resolve()
  }

  #fail(message: string, details: string): void {
    this.#failure = new KernelbedError(message, { blame: 'hypervisor', details })
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
  }
}
