/** System calls Node has no interface to, through koffi. All are synchronous and on the main thread, poll excepted. */
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')

export const setns = libc.func('int setns(int fd, int kind)') as (fd: number, kind: number) => number
export const unshare = libc.func('int unshare(int kinds)') as (kinds: number) => number
export const mount = libc.func('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)') as
  (source: string, target: string, type: string, flags: number, data: string | null) => number
export const socket = libc.func('int socket(int domain, int type, int protocol)') as (domain: number, type: number, protocol: number) => number
export const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, unsigned int size)') as
  (fd: number, level: number, name: number, value: Buffer, size: number) => number
export const bind = libc.func('int bind(int fd, void *address, unsigned int size)') as (fd: number, address: Buffer, size: number) => number
export const listen = libc.func('int listen(int fd, int backlog)') as (fd: number, backlog: number) => number
export const connect = libc.func('int connect(int fd, void *address, unsigned int size)') as (fd: number, address: Buffer, size: number) => number
export const send = libc.func('long send(int fd, void *data, unsigned long size, int flags)') as (fd: number, data: Buffer, size: number, flags: number) => number
export const recv = libc.func('long recv(int fd, void *data, unsigned long size, int flags)') as (fd: number, data: Buffer, size: number, flags: number) => number
export const eventfd = libc.func('int eventfd(unsigned int value, int flags)') as (value: number, flags: number) => number
export const munmap = libc.func('int munmap(void *address, unsigned long size)') as (address: unknown, size: number) => number
const setrlimit = libc.func('int setrlimit(int resource, void *limit)') as (resource: number, limit: Buffer) => number
const mmapCall = libc.func('void *mmap(void *address, unsigned long size, int protection, int flags, int fd, long offset)') as
  (address: null, size: number, protection: number, flags: number, fd: number, offset: number) => unknown
const pollCall = libc.func('int poll(void *fds, unsigned long count, int timeout)') as
  { async: (fds: unknown, count: number, timeout: number, done: (error: Error | null, ready: number) => void) => void }
// syscall(2) and ioctl(2) are variadic in C; on x86-64 integers go into the same registers either way.
export const bpfCall = libc.func('syscall', 'long', ['long', 'int', 'void *', 'unsigned int']) as (number: number, command: number, attr: unknown, size: number) => number
export const perfEventCall = libc.func('syscall', 'long', ['long', 'void *', 'int', 'int', 'int', 'unsigned long']) as
  (number: number, attr: Buffer, pid: number, cpu: number, group: number, flags: number) => number
export const ioctl = libc.func('ioctl', 'int', ['int', 'unsigned long', 'unsigned long']) as (fd: number, request: number, value: number) => number

/** Of the last call; read it at once. */
export const errno = (): number => koffi.errno()

/** Memory outside the JavaScript heap: it doesn't move, so its address can be put into structures. Lives as long as the process unless unmapped. */
export interface Memory { readonly pointer: unknown; readonly address: bigint; readonly bytes: Buffer }

function memoryAt(pointer: unknown, size: number): Memory {
  return { pointer, address: koffi.address(pointer), bytes: Buffer.from(koffi.view(pointer, size)) }
}

/** Maps a file descriptor (or, with -1, zeroed anonymous memory). undefined on failure; see errno(). */
export function mapMemory(size: number, fd = -1): Memory | undefined {
  const PROT_READ_WRITE = 3, MAP_SHARED = 1, MAP_PRIVATE_ANONYMOUS = 0x22
  const pointer = mmapCall(null, size, PROT_READ_WRITE, fd < 0 ? MAP_PRIVATE_ANONYMOUS : MAP_SHARED, fd, 0)
  return BigInt.asUintN(64, koffi.address(pointer)) === 0xffff_ffff_ffff_ffffn ? undefined : memoryAt(pointer, size)
}

/** Anonymous memory that must be there. */
export function allocate(size: number): Memory {
  const memory = mapMemory(size)
  if (memory === undefined) throw new Error(`out of memory: ${size} bytes, errno ${errno()}`)
  return memory
}

/** Runs with memory that is given back afterwards; nothing may keep its bytes. */
export function withMemory<T>(size: number, run: (memory: Memory) => T): T {
  const memory = allocate(size)
  try {
    return run(memory)
  } finally {
    munmap(memory.pointer, size)
  }
}

/** Waits on a thread of the pool until one of `count` pollfd structures is ready. The memory must stay mapped until then. */
export function poll(fds: Memory, count: number, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => pollCall.async(fds.pointer, count, timeoutMs, (error, ready) => error === null ? resolve(ready) : reject(error)))
}

/** Kernels before 5.11 charge maps to RLIMIT_MEMLOCK, 64 KiB by default. Fails silently: the map creation will tell. */
export function raiseMemlock(): void {
  const RLIMIT_MEMLOCK = 8
  const limit = Buffer.alloc(16, 0xff)
  setrlimit(RLIMIT_MEMLOCK, limit)
}
