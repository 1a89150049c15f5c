import { AuthorizationV1Api } from '@kubernetes/client-node'
import { KernelbedError } from '../../core/errors.ts'
import { apiMessage } from './connect.ts'
import type { KubeContext } from './kubeconfig.ts'

/** Verbs on a kind of object; in a namespace, or without one in the whole cluster. */
export interface Permission {
  readonly namespace?: string
  /** API group; '' is the core's. */
  readonly group: string
  /** With its subresource: `pods/exec`. */
  readonly resource: string
  readonly verbs: readonly string[]
}

const allow = (resource: string, verbs: string, namespace?: string, group = ''): Permission => ({ group, resource, verbs: verbs.split(' '), ...(namespace === undefined ? {} : { namespace }) })

/** All that a run asks of a cluster. exec is a GET over a websocket, and newer API servers want `create` for it besides. `own` is a namespace that the run makes. */
export const neededPermissions = ({ own, agent, ciliumPolicies }: { readonly own: string; readonly agent: string; readonly ciliumPolicies: boolean }): Permission[] => [
  allow('nodes', 'get list'), allow('namespaces', 'list create delete'),
  ...[agent, own].flatMap((namespace) => [allow('pods', 'get list', namespace), allow('pods/exec', 'get create', namespace), allow('pods/log', 'get', namespace)]),
  allow('pods', 'create', own), allow('serviceaccounts', 'get', own), allow('services', 'get create update delete', own), allow('endpoints', 'get', own),
  allow('networkpolicies', 'create delete', own, 'networking.k8s.io'),
  ...(ciliumPolicies ? [allow('ciliumnetworkpolicies', 'create delete', own, 'cilium.io')] : []),
]

/** Asks for each verb whether the user may (SelfSubjectAccessReview), and answers what is missing. */
export async function missingPermissions({ config }: Pick<KubeContext, 'config'>, needed: readonly Permission[]): Promise<Permission[]> {
  const api = config.makeApiClient(AuthorizationV1Api)
  const may = async ({ namespace, group, resource: whole }: Permission, verb: string): Promise<boolean> => {
    const [resource = '', subresource] = whole.split('/')
    const resourceAttributes = { group, resource, verb, ...(subresource === undefined ? {} : { subresource }), ...(namespace === undefined ? {} : { namespace }) }
    return (await api.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } })).status?.allowed === true
  }
  return (await Promise.all(needed.map(async (permission) => {
    const verbs: string[] = []
    for (const verb of permission.verbs) if (!(await may(permission, verb))) verbs.push(verb)
    return verbs.length ? [{ ...permission, verbs }] : []
  }))).flat()
}

/** Throws one KernelbedError that names everything the user may not do, by namespace. `own` is the namespace that stands for those that a run makes. */
export async function assertAccess(context: KubeContext, needed: readonly Permission[], own: string): Promise<void> {
  const missing = await missingPermissions(context, needed).catch((error: unknown) => {
    const anonymous = apiMessage(error).includes('"system:anonymous"')
    throw new KernelbedError(`cannot ask what ${context.user} may do: ${anonymous ? 'the API server does not know who that is' : apiMessage(error)}`, {
      blame: 'cluster', ...(anonymous ? { details: apiMessage(error) } : {}),
      hint: anonymous ? 'the kubeconfig has no credentials for this user, or empty ones: fetch it anew, or choose another with --context' : 'the API server must let its users create SelfSubjectAccessReviews (ClusterRole system:basic-user)',
    })
  })
  if (missing.length === 0) return
  throw new KernelbedError(`${context.user} (context ${context.name}) may not do all that a run needs; nothing was created`, {
    blame: 'cluster', details: missingText(missing, own), hint: 'give the user a ClusterRole with these, or choose another user with --context',
  })
}

/** A line a place, with the verbs of each resource that are missing. */
export function missingText(missing: readonly Permission[], own: string): string {
  const place = ({ namespace }: Permission): string => (namespace === undefined ? 'in the whole cluster' : namespace === own ? 'in namespaces that the run makes' : `in namespace ${namespace}`)
  return [...Map.groupBy(missing, place)].map(([where, permissions]) => `${where}: ${[...Map.groupBy(permissions, ({ group, resource }) => (group === '' ? resource : `${resource}.${group}`))]
    .map(([resource, same]) => `${resource} (${[...new Set(same.flatMap(({ verbs }) => verbs))].join(', ')})`).join(', ')}`).join('\n')
}
