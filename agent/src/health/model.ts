import type { HealthReport, PathHealth, Probed } from './prober.ts'

interface PathModel { ip: string; icmp: Probed; http: Probed }
/** What `cilium-health status -o json` prints, in the names of Cilium's model. */
export interface HealthModel { local: { name: string }; nodes: { name: string; host: { 'primary-address': PathModel }; endpoint: PathModel }[]; timestamp: string }

const pathModel = ({ ip, icmp, http }: PathHealth): PathModel => ({ ip, icmp, http })

export function healthModel({ timestamp, nodes }: HealthReport): HealthModel {
  return {
    local: { name: nodes.find(({ local }) => local)?.name ?? '' },
    nodes: nodes.map(({ name, host, endpoint }) => ({ name, host: { 'primary-address': pathModel(host) }, endpoint: pathModel(endpoint) })), timestamp,
  }
}

export const reachable = ({ icmp, http }: PathModel): boolean => icmp.status === '' && http.status === ''
