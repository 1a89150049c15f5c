import fs from 'node:fs'

/** CPU numbers of a kernel list such as `0-3,8`. */
export function parseCpuList(list: string): number[] {
  return list.trim().split(',').filter((part) => part !== '').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/** `possible` is what per-CPU maps are sized by; `online` is where events can come from. */
export function cpus(kind: 'possible' | 'online'): number[] {
  return parseCpuList(fs.readFileSync(`/sys/devices/system/cpu/${kind}`, 'utf8'))
}
