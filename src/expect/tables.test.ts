import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseEndpointTable, parseIdentityJson, parseLbList, parseServiceJson, parseServiceTable, parseTable, parseTunnelList } from './tables.ts'

const recorded = (file: string): string => readFileSync(join(import.meta.dirname, '../monitor/testdata', file), 'utf8')

describe('the tables of Cilium 1.2.5', () => {
  test('endpoint list', () => {
    const rows = parseEndpointTable(recorded('cli-endpoint_list.txt'))
    expect(rows).toHaveLength(4)
    expect(rows[0]).toEqual({ id: 31837, identity: 7111, labels: ['mesos:id=c2'], ipv6: 'fd02:1:1:0:1::7c5d', ipv4: '10.11.240.119', state: 'ready', ingressEnforced: true, egressEnforced: false })
  })

  test('service list, as table and as JSON, say the same', () => {
    const services = [
      { id: 1, frontend: '10.96.0.1:80', backends: ['10.11.240.119:8080', '10.11.240.119:8081'] },
      { id: 2, frontend: '10.96.0.10:53', backends: ['10.11.240.119:53'] },
    ]
    expect(parseServiceTable(recorded('cli-service_list.txt'))).toEqual(services)
    expect(parseServiceJson(recorded('cli-service_list_o_json.txt'))).toMatchObject(services)
  })

  test('bpf lb list, without master entries', () => {
    expect(parseLbList(recorded('cli-bpf_lb_list.txt'))).toEqual([
      { frontend: '10.96.0.10:53', backends: ['10.11.240.119:53'] },
      { frontend: '10.96.0.1:80', backends: ['10.11.240.119:8080', '10.11.240.119:8081'] },
    ])
  })

  test('bpf tunnel list without entries, and identity list', () => {
    expect(parseTunnelList(recorded('cli-bpf_tunnel_list.txt'))).toEqual([])
    expect(parseIdentityJson(recorded('cli-identity_list_o_json.txt'))).toContainEqual({ id: 7111, labels: ['mesos:id=c2'] })
    expect(parseTable(recorded('cli-identity_list.txt'))).toContainEqual({ ID: '26716', LABELS: 'mesos:id=c3' })
  })
})

test('a tunnel list may have ports, masks or neither', () => {
  const rows = [{ prefix: '10.244.1.0', node: '192.168.77.12' }]
  expect(parseTunnelList('TUNNEL         VALUE\n10.244.1.0:0   192.168.77.12:0\n')).toEqual(rows)
  expect(parseTunnelList('TUNNEL          VALUE\n10.244.1.0/24   192.168.77.12\n')).toEqual(rows)
})

test('labels of an endpoint go on in further rows', () => {
  const text = [
    'ENDPOINT   POLICY (ingress)   POLICY (egress)   IDENTITY   LABELS (source:key[=value])                IPv6   IPv4         STATUS',
    '           ENFORCEMENT        ENFORCEMENT',
    '12         Disabled           Disabled          300        k8s:app=client                                    10.244.0.7   ready',
    '                                                           k8s:io.kubernetes.pod.namespace=suites',
  ].join('\n')
  expect(parseEndpointTable(text)).toEqual([{ id: 12, identity: 300, labels: ['k8s:app=client', 'k8s:io.kubernetes.pod.namespace=suites'], ipv4: '10.244.0.7', state: 'ready', ingressEnforced: false, egressEnforced: false }])
})

test('load-balancer lists of later versions, in both of their forms, are the same services', () => {
  // 1.14 and later, then 1.9 to 1.13, as users have shown them.
  const rows = 'SERVICE ADDRESS               BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.96.0.10:53/TCP (1)         10.0.0.29:53/TCP (15) (1)\n10.96.0.10:53/TCP (0)         0.0.0.0:0 (15) (0) [ClusterIP, non-routable]\n10.96.0.10:53/TCP (2)         10.0.0.79:53/TCP (15) (2)\n'
  const groups = 'SERVICE ADDRESS        BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.96.0.10:53          0.0.0.0:0 (9) (0) [ClusterIP, non-routable]\n                       10.0.0.79:53 (9) (1)\n                       10.0.0.29:53 (9) (2)\n'
  for (const text of [rows, groups]) expect(parseLbList(text)).toEqual([{ frontend: '10.96.0.10:53', backends: ['10.0.0.29:53', '10.0.0.79:53'] }])
})
