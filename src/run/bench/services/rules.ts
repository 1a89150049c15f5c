import { createHash } from 'node:crypto'

/** A service as the comparison has it: one TCP port, one backend. */
export interface Rule { readonly name: string; readonly ip: string; readonly port: number; readonly backend: { readonly ip: string; readonly port: number } }

/** 16 letters, as kube-proxy names a service's chain: base32 of a digest. */
function chainOf(prefix: 'SVC' | 'SEP', text: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  return `KUBE-${prefix}-${[...createHash('sha256').update(text).digest().subarray(0, 16)].map((byte) => letters[byte & 31]).join('')}`
}

/**
 * The nat table of these services for iptables-restore, whole, as kube-proxy of Kubernetes 1.20 writes it in its iptables mode at every change (pkg/proxy/iptables): two rules a service in
 * one chain that each new connection goes along, and two chains a service. `clients` is the CIDR that is not masqueraded.
 */
export function kubeProxyRules(services: readonly Rule[], clients: string): string {
  const named = services.map((service) => {
    const id = `${service.name}:${service.ip}`
    return { ...service, svc: chainOf('SVC', id), sep: chainOf('SEP', `${id}:${service.backend.ip}`), comment: `-m comment --comment "bench/${service.name} cluster IP"` }
  })
  const chains = ['KUBE-SERVICES', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ', ...named.flatMap(({ svc, sep }) => [svc, sep])]
  return [
    '*nat', ':PREROUTING ACCEPT [0:0]', ':INPUT ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':POSTROUTING ACCEPT [0:0]', ...chains.map((chain) => `:${chain} - [0:0]`),
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN', '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000', '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE',
    ...named.flatMap(({ ip, port, backend, svc, sep, comment }) => [
      `-A KUBE-SERVICES ! -s ${clients} -d ${ip}/32 -p tcp ${comment} -m tcp --dport ${port} -j KUBE-MARK-MASQ`,
      `-A KUBE-SERVICES -d ${ip}/32 -p tcp ${comment} -m tcp --dport ${port} -j ${svc}`,
      `-A ${svc} ${comment} -j ${sep}`,
      `-A ${sep} -s ${backend.ip}/32 ${comment} -j KUBE-MARK-MASQ`,
      `-A ${sep} -p tcp ${comment} -m tcp -j DNAT --to-destination ${backend.ip}:${backend.port}`,
    ]),
    'COMMIT', '',
  ].join('\n')
}
