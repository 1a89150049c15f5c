import { describe, expect, it } from 'vitest'
import type { EndpointModel, IdentityModel, ServiceModel, StatusModel } from '../api/models.ts'
import { sortedJson } from '../text/gojson.ts'
import { clusterHealth, healthText } from './health.ts'
import { recorded } from '../testing/recorded.ts'
import { briefText, partProblem, statusText } from './status.ts'
import * as tables from './tables.ts'

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')
/** Upstream prints maps in random order. */
const sorted = (text: string): string[] => lines(text).sort()

const ep = (id: number, enabled: 'none' | 'ingress', identity: number, label: string, ipv4: string, ipv6?: string): EndpointModel => ({
  id,
  status: {
    state: 'ready', identity: { id: identity, labels: [label], labelsSHA256: '' }, 'external-identifiers': { 'container-id': '', 'pod-name': '' }, labels: { 'security-relevant': [label] },
    networking: { addressing: [{ ipv4, ...(ipv6 === undefined ? {} : { ipv6 }) }], mac: '', 'host-mac': '', 'interface-index': 0, 'interface-name': '' },
    policy: { realized: { id: identity, 'policy-enabled': enabled, 'policy-revision': 5, 'allowed-ingress-identities': [], 'allowed-egress-identities': [] }, 'proxy-statistics': [] }, log: [],
  },
})

describe('tables are as Cilium 1.2.5 recorded them', () => {
  it('endpoint list', () => {
    const endpoints = [
      ep(65373, 'none', 31540, 'mesos:id=c1', '10.11.120.83', 'fd02:1:1:0:1::ff5d'), ep(31837, 'ingress', 7111, 'mesos:id=c2', '10.11.240.119', 'fd02:1:1:0:1::7c5d'),
      ep(61431, 'none', 4, 'reserved:health', '10.11.72.163', 'fd02:1:1:0:1::eff7'), ep(62333, 'none', 26716, 'mesos:id=c3', '10.11.131.167', 'fd02:1:1:0:1::f37d'),
    ]
    expect(tables.endpointTable(endpoints)).toBe(recorded('cli-endpoint_list.txt'))
  })

  it('further labels on rows of their own', () => {
    const endpoint = ep(1, 'none', 300, 'k8s:a=b', '10.0.0.1')
    endpoint.status.labels['security-relevant'] = ['k8s:io.kubernetes.pod.namespace=x', 'k8s:a=b']
    expect(lines(tables.endpointTable([endpoint])).slice(2).map((line) => line.trimEnd().replace(/ {2,}/g, '|'))).toEqual(['1|Disabled|Disabled|300|k8s:a=b|10.0.0.1|ready', '|k8s:io.kubernetes.pod.namespace=x'])
  })

  it('identity list', () => {
    const identities = JSON.parse(recorded('cli-identity_list_o_json.txt')) as IdentityModel[]
    expect(sorted(tables.identityTable(identities))).toEqual(sorted(recorded('cli-identity_list.txt')))
    expect(sortedJson(identities, 2) + '\n').toBe(recorded('cli-identity_list_o_json.txt'))
  })

  it('service list', () => {
    const services = JSON.parse(recorded('cli-service_list_o_json.txt')) as ServiceModel[]
    expect(tables.serviceTable(services.map(({ status }) => status.realized))).toBe(recorded('cli-service_list.txt'))
    expect(sortedJson(services, 2) + '\n').toBe(recorded('cli-service_list_o_json.txt'))
  })

  const services = [
    { id: 2, frontend: { ip: '10.96.0.10', port: 53, protocol: 'UDP' as const }, backends: [{ ip: '10.11.240.119', port: 53 }] },
    { id: 1, frontend: { ip: '10.96.0.1', port: 80, protocol: 'TCP' as const }, backends: [{ ip: '10.11.240.119', port: 8080 }, { ip: '10.11.240.119', port: 8081 }] },
  ]

  it('bpf lb list', () => {
    const cells = (text: string) => lines(text).map((line) => line.slice(18)).sort()
    expect(cells(tables.lbTable(services))).toEqual(cells(recorded('cli-bpf_lb_list.txt')))
    expect(tables.revnatTable(tables.revnat(services))).toBe(recorded('cli-bpf_lb_list_revnat.txt'))
  })

  it('map list', () => {
    const maps = lines(recorded('cli-map_list.txt')).slice(1).map((line) => { const [name = '', entries] = line.split(/ {2,}/); return { name, entries: Number(entries), capacity: 1 } })
    expect(tables.mapList(maps)).toBe(recorded('cli-map_list.txt').replaceAll(/true$/gm, 'false'))
  })

  it('services of IPv6 have their addresses in brackets', () => {
    const six = { id: 3, frontend: { ip: 'fd96::1', port: 80, protocol: 'TCP' as const }, backends: [{ ip: 'f00d::7', port: 8080 }] }
    expect(lines(tables.lbTable([six])).map((line) => line.trimEnd())).toEqual(['SERVICE ADDRESS   BACKEND ADDRESS', '[fd96::1]:80      [::]:0 (0)', '                  [f00d::7]:8080 (3)'])
    expect(lines(tables.serviceTable([{ id: 3, 'frontend-address': six.frontend, 'backend-addresses': six.backends }])).map((line) => line.trimEnd())).toEqual(['ID   Frontend       Backend', '3    [fd96::1]:80   1 => [f00d::7]:8080'])
    expect(tables.revnatTable(tables.revnat([six]))).toContain('[fd96::1]:80')
  })

  it('bpf endpoint list', () => {
    const text = lines(recorded('cli-bpf_endpoint_list.txt')).filter((line) => !line.includes('::')).map((line) => line.replace(/^(\S+(?: \S+)?) +/, (_, key: string) => key.padEnd(16)))
    const entry = (ip: string, id: number, ifindex: number, mac: string, nodeMac: string) => ({ ip, id, ifindex, mac, nodeMac, identity: 0 })
    const made = tables.bpfEndpointTable([
      entry('10.0.2.15', 0, 0, '', ''), entry('10.11.0.1', 0, 0, '', ''), entry('10.11.72.163', 61431, 17, 'aa:41:90:35:ed:83', 'd2:89:7b:72:b8:41'), entry('10.11.240.119', 31837, 21, '5e:39:3c:b6:5f:3c', '92:8f:60:a3:1e:7f'),
      entry('10.11.120.83', 65373, 19, '16:6a:3d:96:00:da', '6a:31:f0:e2:e4:df'), entry('10.11.131.167', 62333, 23, '6a:75:94:2a:2d:3f', 'de:8d:c8:37:2a:54'),
    ])
    expect(sorted(made)).toEqual(text.sort())
  })

  it('bpf ct list global', () => {
    const source = lines(recorded('cli-bpf_ct_list_global.txt'))
    const entries = source.map((line) => {
      const match = /^(\w+) (\w+) \[?([\da-f.:]+?)\]?:(\d+) -> \[?([\da-f.:]+?)\]?:(\d+) (related )? expires=(\d+) rx_packets=(\d+) rx_bytes=(\d+) tx_packets=(\d+) tx_bytes=(\d+) flags=(\w+) revnat=(\d+) src_sec_id=(\d+)$/.exec(line)!
      const number = (i: number) => Number(match[i])
      return {
        protocol: { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58 }[match[1]!]!, direction: match[2] as 'IN' | 'OUT', src: match[3]!, srcPort: number(4), dst: match[5]!, dstPort: number(6), related: match[7] !== undefined,
        expires: number(8), rxPackets: number(9), rxBytes: number(10), txPackets: number(11), txBytes: number(12), flags: parseInt(match[13]!, 16), revnat: number(14), sourceIdentity: number(15),
      }
    })
    expect(lines(tables.conntrackList(entries))).toEqual(source.sort())
  })

  it('bpf metrics list', () => {
    const made = tables.metricsTable([
      { reason: 0, direction: 'egress', packets: 34, bytes: 3004 }, { reason: 133, direction: 'ingress', packets: 6, bytes: 536 }, { reason: 0, direction: 'ingress', packets: 35, bytes: 3246 },
      { reason: 131, direction: 'egress', packets: 8, bytes: 560 }, { reason: 151, direction: 'ingress', packets: 0, bytes: 0 },
    ])
    expect(sorted(made)).toEqual(sorted(recorded('cli-bpf_metrics_list.txt')))
  })

  it('bpf tunnel list and bpf ipcache list when they are empty', () => {
    expect(tables.tunnelTable([])).toBe(recorded('cli-bpf_tunnel_list.txt'))
    expect(tables.ipcacheTable([])).toBe(recorded('cli-bpf_ipcache_list.txt'))
  })

  it('bpf tunnel list in order of prefixes', () => {
    expect(tables.tunnelTable([{ prefix: '10.244.10.0/24', node: '192.168.77.13' }, { prefix: '10.244.2.0/24', node: '192.168.77.12' }])).toBe('TUNNEL           VALUE           \n10.244.2.0/24    192.168.77.12   \n10.244.10.0/24   192.168.77.13   \n')
  })

  it('lists of IPv6 after those of IPv4', () => {
    expect(lines(tables.tunnelTable([{ prefix: 'f00d::af4:100:0:0/96', node: '192.168.77.12' }, { prefix: '10.244.1.0/24', node: '192.168.77.12' }])).slice(1).map((line) => line.split(' ')[0])).toEqual(['10.244.1.0/24', 'f00d::af4:100:0:0/96'])
    expect(lines(tables.ipcacheTable([{ ip: 'f00d::1', identity: 1 }, { ip: 'fd09::/16', identity: 65_536 }, { ip: '10.0.0.1', identity: 2, node: '192.168.77.12' }])).slice(1).map((line) => line.trim().replace(/ {2,}/g, '|')))
      .toEqual(['10.0.0.1/32|2 192.168.77.12', 'f00d::1/128|1 0.0.0.0', 'fd09::/16|65536 0.0.0.0'])
  })

  it('config', () => {
    const options = { Debug: 'Enabled', Conntrack: 'Enabled', ConntrackAccounting: 'Enabled', ConntrackLocal: 'Disabled', DropNotification: 'Enabled', MonitorAggregationLevel: 'None', PolicyTracing: 'Disabled', TraceNotification: 'Enabled' }
    expect(tables.configList({ immutable: {}, realized: { options, 'policy-enforcement': 'default' }, 'k8s-configuration': '', 'k8s-endpoint': '', nodeMonitor: { npages: 64 } })).toBe(recorded('cli-config.txt'))
  })

  it('endpoint log', () => {
    const source = recorded('cli-endpoint_log.txt')
    const log = lines(source).slice(1).map((line) => { const [timestamp = '', code, state, message = ''] = line.split(/ {2,}/); return { timestamp, code, state, message } as Parameters<typeof tables.endpointLog>[0][number] })
    expect(tables.endpointLog(log)).toBe(source)
  })

  it('node list', () => {
    expect(tables.nodeTable([{ name: 'cilvm', ipv4: '10.0.2.15', podCIDR: '10.11.0.0/16', podCIDR6: 'fd02:1:1:0:1::/112' }])).toBe(recorded('cli-node_list.txt'))
  })
})

describe('status', () => {
  const status: StatusModel = {
    kvstore: { state: 'Ok', msg: 'Disabled' }, 'container-runtime': { state: 'Disabled' }, kubernetes: { state: 'Ok', msg: '1.20 (v1.20.2) [linux/amd64]', 'k8s-api-versions': ['core/v1::Node'] }, cilium: { state: 'Ok', msg: 'OK' },
    nodeMonitor: { cpus: 2, npages: 64, pagesize: 4096 }, ipam: { ipv4: ['10.11.0.1', '10.11.0.2'], capacity: 254 }, 'cilium-health': { state: 'Disabled' }, proxy: { ip: '10.11.0.1', 'port-range': '10000-20000', redirects: 0 },
    controllers: [
      { name: 'b', status: { 'success-count': 1, 'failure-count': 0, 'consecutive-failure-count': 0, 'last-success-timestamp': '2026-01-01T00:00:00Z' } },
      { name: 'a-longer-name', status: { 'success-count': 0, 'failure-count': 3, 'consecutive-failure-count': 3, 'last-failure-timestamp': '2026-01-01T00:01:57Z', 'last-failure-msg': 'boom' } },
    ],
  }
  const now = Date.parse('2026-01-01T00:02:03Z')

  it('is in columns as Cilium has them', () => {
    expect(statusText(status, { allControllers: true, allHealth: false, now })).toBe([
      'KVStore:                Ok         Disabled', 'ContainerRuntime:       Disabled   ', 'Kubernetes:             Ok         1.20 (v1.20.2) [linux/amd64]', 'Kubernetes APIs:        ["core/v1::Node"]',
      'Cilium:                 Ok   OK', 'NodeMonitor:            Listening for events on 2 CPUs with 64x4096 of shared memory', 'Cilium health daemon:   Disabled   ', 'IPv4 address pool:      2/254 allocated',
      'Controller Status:      1/2 healthy', 'Proxy Status:           OK, ip 10.11.0.1, port-range 10000-20000', '  Name            Last success   Last error   Count   Message', '  a-longer-name   never          6s ago       3       boom       ', '  b               2m3s ago       never        0       no error   ', '',
    ].join('\n'))
    expect(statusText({ ...status, ipam: { ...status.ipam!, ipv6: ['f00d::1'] } }, { allControllers: false, allHealth: false, now })).toContain('\nIPv4 address pool:      2/254 allocated\nIPv6 address pool:      1/254 allocated\n')
    expect(statusText({ ...status, prefilter: { mode: 'generic' } }, { allControllers: false, allHealth: false, now })).toContain('\nProxy Status:           OK, ip 10.11.0.1, port-range 10000-20000\nXDP prefilter:          generic\n')
    for (const line of [5, 9]) expect(recorded('cli-status.txt')).toContain(statusText(status, { allControllers: false, allHealth: false, now }).split('\n')[line])
    expect(recorded('cli-status_allcontrollers.txt')).toContain('\n  Name                                        Last success   Last error   Count   Message\n')
  })

  it('is no failure of the command by a controller that fails, as in Cilium; in brief it is', () => {
    expect([partProblem(status), briefText(status)]).toEqual([undefined, 'error in controller a-longer-name: boom'])
    const broken = { ...status, kvstore: { state: 'Failure', msg: 'etcd is gone' } } as const
    expect([partProblem(broken), briefText(broken)]).toEqual(['error in kvstore: etcd is gone', 'error in kvstore: etcd is gone'])
  })

  it('says what the proxy can\'t do', () => {
    const error = 'requests to ingress port 80 of endpoint 7 are denied: no port'
    expect(statusText({ ...status, proxy: { ...status.proxy!, error } }, { allControllers: false, allHealth: false, now })).toContain(`\nProxy Status:           Failure, ip 10.11.0.1, port-range 10000-20000: ${error}\n`)
  })

  it('ends with the nodes that can\'t be reached', () => {
    const good = { status: '', latency: 1 }, bad = { status: 'no answer in 5 s', latency: 0 }
    const path = (ip: string, icmp: typeof good) => ({ ip, icmp, http: icmp })
    const cluster = (icmp: typeof good) => ({ local: { name: 'cilvm' }, timestamp: '2026-11-21T21:05:37Z', nodes: [{ name: 'cilvm', host: { 'primary-address': path('10.0.2.15', icmp) }, endpoint: path('10.11.0.2', icmp) }] })
    const text = statusText({ ...status, 'cilium-health': { state: 'Ok' }, cluster: cluster(bad) }, { allControllers: false, allHealth: false, now })
    expect(recorded('cli-status.txt').endsWith(text.slice(text.indexOf('Cluster health')))).toBe(true)
    expect(text.slice(text.indexOf('Cluster health')).split('\n')).toHaveLength(4)
    expect(clusterHealth(cluster(good), false)).toBe('Cluster health:   1/1 reachable   (2026-11-21T21:05:37Z)\n')
    expect(clusterHealth(cluster(good), true)).toContain('  cilvm (localhost)   10.0.2.15       true        true')
    expect(healthText(cluster({ status: '', latency: 1_250_000 }))).toBe([
      'Probe time:   2026-11-21T21:05:37Z', 'Nodes:', '  cilvm (localhost):', '    Host connectivity to 10.0.2.15:', '      ICMP to stack:   OK, RTT=1.25ms', '      HTTP to agent:   OK, RTT=1.25ms',
      '    Endpoint connectivity to 10.11.0.2:', '      ICMP to stack:   OK, RTT=1.25ms', '      HTTP to agent:   OK, RTT=1.25ms', '',
    ].join('\n'))
  })

  it('is short while the agent starts', () => {
    const { nodeMonitor: _monitor, ipam: _ipam, proxy: _proxy, ...rest } = status
    const starting: StatusModel = { ...rest, kubernetes: { state: 'Failure', msg: '/api/v1/nodes: connect ECONNREFUSED' }, cilium: { state: 'Failure', msg: 'starting: waiting for Kubernetes to list nodes' }, controllers: [] }
    expect(statusText(starting, { allControllers: false, allHealth: false, now })).toBe([
      'KVStore:                Ok         Disabled', 'ContainerRuntime:       Disabled   ', 'Kubernetes:             Failure    /api/v1/nodes: connect ECONNREFUSED', 'Kubernetes APIs:        []',
      'Cilium:                 Failure   starting: waiting for Kubernetes to list nodes', 'NodeMonitor:            Disabled', 'Cilium health daemon:   Disabled   ', 'Controller Status:      0/0 healthy', '',
    ].join('\n'))
    expect(briefText(starting)).toBe('error in kubernetes: /api/v1/nodes: connect ECONNREFUSED')
  })

  it('is one word when all is well, and else the first thing that is not', () => {
    expect(briefText({ ...status, controllers: [] }) + '\n').toBe(recorded('cli-status_brief.txt'))
    expect(briefText(status)).toBe('error in controller a-longer-name: boom')
    expect(briefText({ ...status, kubernetes: { state: 'Failure', msg: 'gone' } })).toBe('error in kubernetes: gone')
  })
})
