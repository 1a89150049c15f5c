import { describe, expect, it } from 'vitest'
import { assertHostMemory, availableMemoryMiB } from './memory.ts'

const two = [{ name: 'node1', memoryMiB: 1024 }, { name: 'node2', memoryMiB: 1536 }]

describe('host memory', () => {
  it('is enough when all machines and their QEMUs fit', () => {
    expect(() => assertHostMemory(two, 1024 + 1536 + 256)).not.toThrow()
  })

  it('is one clear error when it is not', () => {
    expect(() => assertHostMemory(two, 2000.7)).toThrow('not enough memory: node1, node2 need 2816 MiB (1024 + 1536 and 128 each for QEMU), 2000 MiB are available')
  })

  it('is MemAvailable, or what the control group leaves when that is less', () => {
    const files: Record<string, string> = { '/proc/meminfo': 'MemTotal: 9999999 kB\nMemAvailable:    4194304 kB\n' }
    expect(availableMemoryMiB((path) => files[path])).toBe(4096)
    expect(availableMemoryMiB((path) => ({ ...files, '/sys/fs/cgroup/memory.max': 'max\n', '/sys/fs/cgroup/memory.current': '5\n' })[path])).toBe(4096)
    expect(availableMemoryMiB((path) => ({ ...files, '/sys/fs/cgroup/memory.max': '2147483648\n', '/sys/fs/cgroup/memory.current': '1073741824\n' })[path])).toBe(1024)
  })
})
