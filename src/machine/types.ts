import type { Blame } from '../core/errors.ts'
import type { BootFiles, GuestImage } from '../image/types.ts'
import type { Kernel } from '../kernels/types.ts'

/** What is asked for. */
export interface MachineSpec {
  /** `node1`, `node2`, … */
  readonly name: string
  /** From 1; gives MAC and address on the wire (docs/architecture.md). */
  readonly index: number
  readonly kernel: Kernel
  readonly image: GuestImage
  readonly boot: BootFiles
  readonly memoryMiB: number
  readonly cpus: number
  /** Unix stream socket on which QEMU's wire NIC listens; the switch connects to it. */
  readonly wireSocket: string
  /** For two machines without a switch: the wireSocket of a running machine, to which QEMU connects this one's wire NIC instead of listening. */
  readonly wirePeer?: string
  /** Raw ext4 disk with container images (src/cluster/images-disk.ts); attached through an overlay of its own, virtio serial `kb-images`. */
  readonly imagesDisk?: string
  /** Keeps what is written to its disks in files, so that saveMachine can save them. */
  readonly savable?: boolean
}

export type Accel = 'kvm' | 'tcg'

/** A node of a cluster, whoever made it. */
export interface NodeHandle {
  readonly name: string
  readonly kernel: { readonly name: string; readonly release: string; readonly line: string }
  /** The node's InternalIP, on the wire where it is ours, e.g. `192.168.77.11`. */
  readonly address: string
}

/** Enough to reach a running machine from another process; JSON. */
export interface MachineHandle extends NodeHandle {
  readonly index: number
  readonly mac: string
  readonly accel: Accel
  readonly ssh: { readonly host: string; readonly port: number; readonly user: string; readonly keyFile: string }
  readonly consoleFile: string
  /** Of a machine whose QEMU this project started: its process, control socket (QMP), and the socket of its card on the wire. Vagrant's have none. */
  readonly qemu?: { readonly pid: number; readonly qmpSocket: string; readonly wireSocket: string }
}

/** Output is as it was printed, with its last newline. */
export interface ExecResult {
  readonly command: string
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

export interface ExecOptions {
  /** The command and its children are killed after it. Default 120 s. */
  readonly timeoutMs?: number
  readonly stdin?: string | Buffer
  /** Return instead of throwing when the exit code is not 0. Default false. */
  readonly allowFailure?: boolean
  readonly signal?: AbortSignal
  /** Whom a failure is blamed on. Default `cluster`. */
  readonly blame?: Blame
}

/** A command still running in the guest; lines arrive as they are printed. */
export interface GuestStream {
  onLine(listener: (line: string) => void): void
  /** Resolves with the exit code (undefined if killed by a signal or the connection ended). */
  readonly done: Promise<number | undefined>
  stop(): Promise<void>
}

/** A machine that answers SSH. */
export interface Machine {
  readonly handle: MachineHandle
  readonly name: string
  /** Runs a shell command as root over a kept SSH connection. Throws GuestCommandError with command, exit code, stderr, stdout. */
  exec(command: string, options?: ExecOptions): Promise<ExecResult>
  stream(command: string): Promise<GuestStream>
  /** Copies a local file into the guest. */
  upload(local: string, remote: string, mode?: number): Promise<void>
  writeFile(remote: string, content: string | Buffer, mode?: number): Promise<void>
  readFile(remote: string): Promise<Buffer>
  /** Last lines of the serial console. */
  consoleTail(lines: number): string
  /** Closes this process's connection; does not stop the machine. */
  close(): Promise<void>
}

/** A machine this run started; only its owner can stop it. */
export interface StartedMachine extends Machine {
  /** Milliseconds from exec of QEMU (or of Vagrant) to a working SSH command. */
  readonly bootMs: number
  stop(): Promise<void>
}
