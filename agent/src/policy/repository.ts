import { messageOf, type Logger } from '../log.ts'
import { keyOf } from '../k8s/informer.ts'
import type { CiliumNetworkPolicy, KubeObject, NetworkPolicy } from '../k8s/types.ts'
import { fromCiliumNetworkPolicy } from './ciliumpolicy.ts'
import { fromNetworkPolicy } from './networkpolicy.ts'
import { labelText, type Rule, type Translation } from './rule.ts'

export interface PolicyEvent { subtype: 'Policy updated' | 'Policy deleted'; message: { labels: string[]; revision: number; rule_count: number } }
interface Entry { version: string; rules: Rule[] }

/** All rules in force, and their revision, which grows by one with every policy that comes, changes or goes. */
export class PolicyRepository {
  readonly #entries = new Map<string, Entry>()
  readonly #log: Logger
  #revision = 1
  constructor(log: Logger) { this.#log = log }

  get revision(): number { return this.#revision }
  get rules(): Rule[] { return [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, { rules }]) => rules) }

  /** Takes the cluster's policies over; returns what changed, as the monitor tells it. */
  update(networkPolicies: NetworkPolicy[], ciliumPolicies: CiliumNetworkPolicy[]): PolicyEvent[] {
    const events: PolicyEvent[] = []
    const seen = new Set<string>()
    const take = <T extends KubeObject>(kind: string, policies: T[], translate: (policy: T) => Translation) => {
      for (const policy of policies) {
        const key = `${kind}/${keyOf(policy)}`
        const version = `${policy.metadata.uid}/${policy.metadata.resourceVersion}`
        seen.add(key)
        if (this.#entries.get(key)?.version === version) continue
        const rules = this.#translate(key, () => translate(policy))
        this.#entries.set(key, { version, rules })
        events.push({ subtype: 'Policy updated', message: { labels: labelsOf(rules), revision: ++this.#revision, rule_count: rules.length } })
      }
    }
    take('NetworkPolicy', networkPolicies, fromNetworkPolicy)
    take('CiliumNetworkPolicy', ciliumPolicies, fromCiliumNetworkPolicy)
    for (const [key, { rules }] of this.#entries) {
      if (seen.has(key)) continue
      this.#entries.delete(key)
      events.push({ subtype: 'Policy deleted', message: { labels: labelsOf(rules), revision: ++this.#revision, rule_count: rules.length } })
    }
    return events
  }

  /** What can't be understood is told once, and leaves the policy without rules when nothing of it can be. */
  #translate(key: string, translate: () => Translation): Rule[] {
    try {
      const { rules, unsupported } = translate()
      if (unsupported.length > 0) this.#log.warning('Policy has parts that lash does not support; they allow nothing', { policy: key, unsupported: unsupported.join('; ') })
      return rules
    } catch (error) {
      this.#log.error('Unable to understand policy, it is not in force: correct it and apply it again', { policy: key, error: messageOf(error) })
      return []
    }
  }
}

const labelsOf = (rules: Rule[]): string[] => [...new Set(rules.flatMap(({ labels }) => labels.map(labelText)))]
