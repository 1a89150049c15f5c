import type { PrefilterMode } from '../datapath/prefilter.ts'
import type { ServiceSpec } from '../datapath/types.ts'
import type { Endpoint, StatusEntry } from '../endpoint/endpoint.ts'
import { podKey } from '../endpoint/endpoint.ts'
import type { HealthModel } from '../health/model.ts'
import type { RedirectStatistics } from '../proxy/proxy.ts'
import type { ControllerStatus } from '../reconcile/controller.ts'

/** What the API gives out, in the names of Cilium's own models, so that `-o json` and jsonpath expressions fit both. */
export interface State { state: 'Ok' | 'Warning' | 'Failure' | 'Disabled'; msg?: string }
export interface StatusModel {
  kvstore: State; 'container-runtime': State; kubernetes: State & { 'k8s-api-versions'?: string[] }; cilium: State
  /** This, and what else may be absent, is not there before the datapath is. */
  nodeMonitor?: { cpus: number; npages: number; pagesize: number; lost?: number }
  ipam?: { ipv4: string[]; ipv6?: string[]; capacity: number }
  /** `Cluster health` once all nodes have been asked. */
  cluster?: HealthModel; 'cilium-health': State
  proxy?: { ip: string; 'port-range': string; redirects: number; /** What it can't do at present. */ error?: string }
  /** While the prefilter denies something; in neither Cilium's model nor its output. */
  prefilter?: { mode: PrefilterMode }
  controllers: { name: string; status: { 'success-count': number; 'failure-count': number; 'consecutive-failure-count': number; 'last-success-timestamp'?: string; 'last-failure-timestamp'?: string; 'last-failure-msg'?: string } }[]
}
export interface IdentityModel { id: number; labels: string[]; labelsSHA256: string }
export interface EndpointModel {
  id: number
  status: {
    state: string; identity: IdentityModel
    'external-identifiers': { 'container-id': string; 'pod-name': string }
    labels: { 'security-relevant': string[] }
    networking: { addressing: { ipv4: string; ipv6?: string }[]; mac: string; 'host-mac': string; 'interface-index': number; 'interface-name': string }
    policy: { realized: { id: number; 'policy-enabled': 'none' | 'ingress' | 'egress' | 'both'; 'policy-revision': number; 'allowed-ingress-identities': number[]; 'allowed-egress-identities': number[] }; 'proxy-statistics': RedirectStatistics[] }
    log: StatusEntry[]
  }
}
export interface ServiceAddresses { id: number; 'frontend-address': ServiceSpec['frontend']; 'backend-addresses': { ip: string; port: number; weight?: number }[]; affinity?: number }
export interface ServiceModel { spec: ServiceAddresses; status: { realized: ServiceAddresses } }
export interface PolicyModel { policy: string; revision: number }
export interface PrefilterModel { status: { realized: { revision: number; deny: string[] }; /** How XDP runs, or `off` while nothing is denied. */ mode: string } }
export interface DaemonHealthModel { cilium: StatusModel; uptime: string; 'system-load': { last1min: string; last5min: string; last15min: string } }
export interface EndpointHealthModel { overallHealth: string; bpf: string; policy: string; connected: boolean }
export interface ConfigModel { immutable: Record<string, string>; realized: { options: Record<string, string>; 'policy-enforcement': string }; 'k8s-configuration': string; 'k8s-endpoint': string; nodeMonitor: { npages: number } }

export function endpointModel({ id, record, state, link, policy, policyRevision, history }: Endpoint, identity: IdentityModel, proxied: RedirectStatistics[] = []): EndpointModel {
  const { ingress, egress } = policy
  const enabled = ingress !== undefined ? (egress !== undefined ? 'both' : 'ingress') : egress !== undefined ? 'egress' : 'none'
  const ids = (list: typeof ingress) => [...new Set((list ?? []).map((allow) => allow.identity))]
  return {
    id,
    status: {
      state, identity, 'external-identifiers': { 'container-id': record.containerId, 'pod-name': podKey(record) }, labels: { 'security-relevant': [...record.labels] },
      networking: { addressing: [{ ipv4: record.ipv4, ...(record.ipv6 === undefined ? {} : { ipv6: record.ipv6 }) }], mac: link?.mac ?? '', 'host-mac': link?.nodeMac ?? '', 'interface-index': link?.ifindex ?? 0, 'interface-name': record.hostInterface },
      policy: { realized: { id: record.identity, 'policy-enabled': enabled, 'policy-revision': policyRevision, 'allowed-ingress-identities': ids(ingress), 'allowed-egress-identities': ids(egress) }, 'proxy-statistics': proxied },
      log: history,
    },
  }
}

export function serviceModel(service: ServiceSpec): ServiceModel {
  const addresses: ServiceAddresses = { id: service.id, 'frontend-address': service.frontend, 'backend-addresses': service.backends, ...(service.affinity === undefined ? {} : { affinity: service.affinity }) }
  return { spec: addresses, status: { realized: addresses } }
}

export function controllerModel({ name, successes, failures, consecutiveFailures, lastSuccess, lastFailure, message }: ControllerStatus): StatusModel['controllers'][number] {
  return {
    name,
    status: {
      'success-count': successes, 'failure-count': failures, 'consecutive-failure-count': consecutiveFailures,
      ...(lastSuccess === undefined ? {} : { 'last-success-timestamp': new Date(lastSuccess).toISOString() }),
      ...(lastFailure === undefined ? {} : { 'last-failure-timestamp': new Date(lastFailure).toISOString() }),
      ...(message === undefined ? {} : { 'last-failure-msg': message }),
    },
  }
}
