import { messageOf, type Logger } from '../log.ts'
import { keyOf } from '../k8s/informer.ts'
import type { CiliumNetworkPolicy, KubeObject, NetworkPolicy } from '../k8s/types.ts'
import { fromCiliumNetworkPolicy } from './ciliumpolicy.ts'
import { fromNetworkPolicy } from './networkpolicy.ts'
import { hasLabels, labelText, type Rule, type RuleLabel, type Translation } from './rule.ts'

export interface PolicyEvent { subtype: 'Policy updated' | 'Policy deleted'; message: { labels: string[]; revision: number; rule_count: number } }
/** `error`: why the version that Kubernetes has is not, or not wholly, in force. */
interface Entry { version: string; rules: Rule[]; revision: number; error?: string }
/** Where rules that Kubernetes knows nothing of outlive the agent. */
export interface RuleStore { load(): Rule[]; save(rules: Rule[]): void }

/** Cluster policies as this agent sees them. `enforcing`: rules are in force, if only those of an earlier version. */
export interface PolicyState { revision: number; rules: Rule[]; enforcing: boolean; error?: string }

/** All rules in force, and their revision, which grows by one with every policy that comes, changes or goes. */
export class PolicyRepository {
  readonly #entries = new Map<string, Entry>()
  readonly #log: Logger
  readonly #store: RuleStore | undefined
  #imported: Rule[]
  #pending: PolicyEvent[] = []
  #errors = 0
  #revision = 1

  constructor(log: Logger, store?: RuleStore) {
    this.#log = log
    this.#store = store
    this.#imported = store?.load() ?? []
  }

  /** Policies that could not be understood, or not wholly, so far. */
  get errors(): number { return this.#errors }
  countError(): void { this.#errors++ }
  get revision(): number { return this.#revision }
  get rules(): Rule[] { return [...[...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, { rules }]) => rules), ...this.#imported] }

  /** What became of a CiliumNetworkPolicy; undefined for one not seen yet. */
  stateOf(policy: CiliumNetworkPolicy): PolicyState | undefined {
    const entry = this.#entries.get(`CiliumNetworkPolicy/${keyOf(policy)}`)
    if (entry === undefined || entry.version !== versionOf(policy)) return undefined
    return { revision: entry.revision, rules: entry.rules, enforcing: entry.rules.length > 0, ...(entry.error === undefined ? {} : { error: entry.error }) }
  }

  /** Adds rules that were not applied through Kubernetes; returns the revision they are in. */
  add(rules: Rule[]): number {
    this.#keep([...this.#imported, ...rules])
    this.#pending.push(this.#event('Policy updated', rules))
    return this.#revision
  }

  /** Deletes the imported rules that have all of these labels, every one if none is given; returns how many. */
  remove(labels: RuleLabel[]): number {
    const gone = this.#imported.filter((rule) => hasLabels(rule, labels))
    if (gone.length === 0) return 0
    this.#keep(this.#imported.filter((rule) => !gone.includes(rule)))
    this.#pending.push(this.#event('Policy deleted', gone))
    return gone.length
  }

  /** Takes the cluster's policies over; returns what changed since the last call, as the monitor tells it. */
  update(networkPolicies: NetworkPolicy[], ciliumPolicies: CiliumNetworkPolicy[]): PolicyEvent[] {
    const events = this.#pending
    this.#pending = []
    const seen = new Set<string>()
    const take = <T extends KubeObject>(kind: string, policies: T[], translate: (policy: T) => Translation) => {
      for (const policy of policies) {
        const key = `${kind}/${keyOf(policy)}`
        seen.add(key)
        const old = this.#entries.get(key)
        if (old?.version === versionOf(policy)) continue
        const { rules, error } = this.#translate(key, () => translate(policy), old)
        const event = this.#event('Policy updated', rules)
        this.#entries.set(key, { version: versionOf(policy), rules, revision: event.message.revision, ...(error === undefined ? {} : { error }) })
        events.push(event)
      }
    }
    take('NetworkPolicy', networkPolicies, fromNetworkPolicy)
    take('CiliumNetworkPolicy', ciliumPolicies, fromCiliumNetworkPolicy)
    for (const [key, { rules }] of this.#entries) {
      if (seen.has(key)) continue
      this.#entries.delete(key)
      events.push(this.#event('Policy deleted', rules))
    }
    return events
  }

  #keep(rules: Rule[]): void {
    this.#store?.save(rules)
    this.#imported = rules
  }

  #event(subtype: PolicyEvent['subtype'], rules: Rule[]): PolicyEvent {
    return { subtype, message: { labels: labelsOf(rules), revision: ++this.#revision, rule_count: rules.length } }
  }

  /** Told once a version. What can't be understood at all leaves the earlier version in force. */
  #translate(key: string, translate: () => Translation, old: Entry | undefined): { rules: Rule[]; error?: string } {
    try {
      const { rules, unsupported } = translate()
      if (unsupported.length === 0) return { rules }
      this.#errors++
      const error = `${unsupported.join('; ')}; rules that have it allow nothing`
      this.#log.warning('Policy has parts that lash does not support; they allow nothing', { policy: key, unsupported: unsupported.join('; ') })
      return { rules, error }
    } catch (error) {
      this.#errors++
      const kept = old === undefined ? 'it is not in force' : 'its earlier version stays in force'
      this.#log.error(`Unable to understand policy, ${kept}: correct it and apply it again`, { policy: key, error: messageOf(error) })
      return { rules: old?.rules ?? [], error: messageOf(error) }
    }
  }
}

/** The API server counts `generation` up for changes of what a policy says only, so that its status is no new version. */
const versionOf = ({ metadata: { uid, generation, resourceVersion } }: KubeObject): string => `${uid}/${generation ?? resourceVersion}`

const labelsOf = (rules: Rule[]): string[] => [...new Set(rules.flatMap(({ labels }) => labels.map(labelText)))]
