import { range, toIP, toNumber } from '../cluster/cidr.ts'

/** Hands out addresses of the node's pod CIDR, after the router's. A freed address is used again only after all others. */
export class IPAM {
  readonly #first: number
  readonly #last: number
  readonly #used = new Set<number>()
  #next: number

  constructor(podCIDR: string) {
    const { first, last } = range(podCIDR)
    // Without network, router and broadcast address.
    this.#first = first + 2
    this.#last = last - 1
    this.#next = this.#first
  }

  get capacity(): number { return this.#last - this.#first + 1 }
  get allocated(): number { return this.#used.size }

  allocate(): string {
    for (let tried = 0; tried < this.capacity; tried++) {
      const address = this.#next
      this.#next = address === this.#last ? this.#first : address + 1
      if (this.#used.has(address)) continue
      this.#used.add(address)
      return toIP(address)
    }
    throw new Error(`all ${this.capacity} addresses of this node's pod CIDR are in use: delete pods, or give the node a larger CIDR`)
  }

  /** Takes an address that is in use already, such as a restored endpoint's. False when it is taken or not of this CIDR. */
  claim(ip: string): boolean {
    const address = toNumber(ip)
    if (address < this.#first || address > this.#last || this.#used.has(address)) return false
    this.#used.add(address)
    if (address >= this.#next) this.#next = address === this.#last ? this.#first : address + 1
    return true
  }

  release(ip: string): void { this.#used.delete(toNumber(ip)) }
}
