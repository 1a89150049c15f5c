import { hasFault } from '../fault.ts'
import { isStatus, type KubeClient } from '../k8s/client.ts'
import type { CiliumNetworkPolicy, CiliumPolicyNodeStatus } from '../k8s/types.ts'
import type { PolicyRepository } from './repository.ts'
import type { Rule } from './rule.ts'

/** Tells in the status of every CiliumNetworkPolicy what this node made of it: `kubectl get cnp -o yaml`. */
export async function publishPolicyStatus({ client, node, policies, objects, refusal }: {
  client: KubeClient; node: string; policies: PolicyRepository; objects: CiliumNetworkPolicy[]; /** What the datapath refuses of rules. */ refusal: (rules: Rule[]) => string | undefined
}): Promise<void> {
  for (const object of objects) {
    const found = policies.stateOf(object)
    if (found === undefined) continue
    const { rules, ...state } = found
    const refused = refusal(rules)
    if (refused !== undefined) state.error ??= refused
    // A merge patch takes a key away by null.
    if (hasFault('policy-status-hides-errors')) delete state.error
    const wanted: CiliumPolicyNodeStatus = { ok: state.error === undefined, error: state.error ?? null, enforcing: state.enforcing, localPolicyRevision: state.revision }
    if (isSame(object.status?.nodes?.[node], wanted)) continue
    const { namespace = 'default', name } = object.metadata
    const path = `/apis/cilium.io/v2/namespaces/${namespace}/ciliumnetworkpolicies/${name}/status`
    await client.mergePatch(path, { status: { nodes: { [node]: { ...wanted, lastUpdated: new Date().toISOString() } } } }).catch((error: unknown) => { if (!isStatus(error, 404)) throw error })
  }
}

const isSame = (has: CiliumPolicyNodeStatus | undefined, wanted: CiliumPolicyNodeStatus): boolean =>
  has !== undefined && has.ok === wanted.ok && (has.error ?? null) === wanted.error && has.enforcing === wanted.enforcing && has.localPolicyRevision === wanted.localPolicyRevision
