import type { Machine } from './types.ts'

/**
 * Waits until the guest has finished setting itself up (`/run/kernelbed/ready`: wire address, control groups, modules), which goes on after SSH
 * answers. Machines with another init than our image's are ready when they answer. Throws GuestCommandError at the deadline, default 60 s.
 */
export async function waitForGuest(machine: Pick<Machine, 'exec'>, options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {}): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 60_000
  await machine.exec('[ ! -d /run/kernelbed ] || until [ -e /run/kernelbed/ready ]; do sleep 0.1; done', { timeoutMs, blame: 'guest kernel', ...(options.signal ? { signal: options.signal } : {}) })
}
