/** Kernel parameters of the current network namespace: /proc/sys/net belongs to that of the task that opens it. */
import fs from 'node:fs'
import { DatapathError } from './errors.ts'

/** Sets one, e.g. `ipv4/ip_forward`. Leaves it alone when it has the value: /proc/sys may be read-only and right. */
export function setSysctl(name: string, value: string): void {
  const path = `/proc/sys/net/${name}`
  try {
    if (fs.readFileSync(path, 'utf8').trim() !== value) fs.writeFileSync(path, value)
  } catch (cause) {
    throw new DatapathError(`setting ${path} to ${value}; run in a privileged container with /proc/sys writable`, { cause })
  }
}

/** undefined where the kernel has no such parameter. */
export function getSysctl(name: string): string | undefined {
  try {
    return fs.readFileSync(`/proc/sys/net/${name}`, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** BPF programs that are loaded from now on become machine code, which older kernels do only when told. Nothing changes where the kernel cannot, or in another network namespace than the first. */
export function enableJIT(): void {
  if (getSysctl('core/bpf_jit_enable') === '0') setSysctl('core/bpf_jit_enable', '1')
}

/** No IPv6 on an interface (or `all`, `default`), where the kernel has IPv6 at all. */
export function disableIPv6(device: string): void {
  if (fs.existsSync(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`)) setSysctl(`ipv6/conf/${device}/disable_ipv6`, '1')
}

/** Answers of services at the node's addresses come in from it by a device on their way to clients outside, with such an address as their source. */
export function acceptOwnAddresses(device: string): void {
  setSysctl(`ipv4/conf/${device}/accept_local`, '1')
}

/** Replies leave by other ways than packets came. */
export function disableReversePathFilter(device: string): void {
  setSysctl(`ipv4/conf/${device}/rp_filter`, '0')
}
