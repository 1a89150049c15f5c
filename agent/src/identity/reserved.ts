import type { Labels } from './labels.ts'

export const reserved = { unknown: 0, host: 1, world: 2, cluster: 3, health: 4, init: 5 } as const
export const firstAllocated = 256
/** Conntrack, VXLAN and the policy map have room for more; upstream stays in 16 bits, and tests print them. */
export const lastAllocated = 65_535

export interface Identity { id: number; labels: Labels }

export const reservedIdentities: Identity[] = (['host', 'world', 'cluster', 'health', 'init'] as const).map((name) => ({ id: reserved[name], labels: [`reserved:${name}`] }))
