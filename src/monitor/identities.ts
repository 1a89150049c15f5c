const RESERVED: Readonly<Record<string, number>> = { unknown: 0, host: 1, world: 2, cluster: 3, unmanaged: 3, health: 4, init: 5, 'remote-node': 6, 'kube-apiserver': 7, ingress: 8, 'world-ipv4': 9, 'world-ipv6': 10 }

/** Number of an identity that a monitor prints as a number or, for a reserved one, as a name (`host`, `reserved:host`). */
export function identityNumber(text: string | number | undefined): number | undefined {
  if (text === undefined) return undefined
  const word = String(text).trim().replace(/^reserved:/, '')
  return /^\d+$/.test(word) ? Number(word) : RESERVED[word.toLowerCase()]
}

/** `1 (host)` for reserved identities, else the number: for messages. */
export function identityText(identity: number | undefined): string {
  if (identity === undefined) return '?'
  const name = Object.entries(RESERVED).find(([, number]) => number === identity)?.[0]
  return name === undefined ? String(identity) : `${identity} (${name})`
}
