import { labelsHash, type Labels } from './labels.ts'

export const reserved = { unknown: 0, host: 1, world: 2, cluster: 3, health: 4, init: 5 } as const
export const firstAllocated = 256
/** Conntrack, VXLAN and the policy map have room for more; upstream stays in 16 bits, and tests print them. */
export const lastAllocated = 65_535

/** How many numbers there are to allocate. */
export const allocatable = lastAllocated - firstAllocated + 1
/** The numbers to try for labels, in order: the first is a hash of them, so that agents that race for the same labels meet at one, and labels keep theirs as long as nobody else has it. */
export const candidate = (labels: Labels, step: number): number => firstAllocated + ((Number.parseInt(labelsHash(labels).slice(0, 8), 16) + step) % allocatable)

export interface Identity { id: number; labels: Labels }

export const reservedIdentities: Identity[] = (['host', 'world', 'cluster', 'health', 'init'] as const).map((name) => ({ id: reserved[name], labels: [`reserved:${name}`] }))
