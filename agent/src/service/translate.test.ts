import { describe, expect, it } from 'vitest'
import type { Endpoints, Service } from '../k8s/types.ts'
import { desiredServices, frontendsOf, ServiceIds } from './translate.ts'

const service = (name: string, spec: Service['spec']): Service => ({ metadata: { namespace: 'default', name }, spec })
const endpoints = (name: string, subsets: NonNullable<Endpoints['subsets']>): Endpoints => ({ metadata: { namespace: 'default', name }, subsets })

describe('frontendsOf', () => {
  it('joins every subset by the name of the port', () => {
    const web = service('web', { clusterIP: '10.96.0.7', ports: [{ name: 'http', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }] })
    const found = frontendsOf(web, endpoints('web', [
      { addresses: [{ ip: '10.244.1.10' }, { ip: '10.244.1.9' }], ports: [{ name: 'http', port: 8080 }, { name: 'dns', port: 5353, protocol: 'UDP' }] },
      { addresses: [{ ip: '10.244.0.3' }], ports: [{ name: 'http', port: 9090 }] },
    ]), ['192.168.77.11'])
    expect(found).toEqual([
      { frontend: { ip: '10.96.0.7', port: 80, protocol: 'TCP' }, backends: [{ ip: '10.244.0.3', port: 9090 }, { ip: '10.244.1.9', port: 8080 }, { ip: '10.244.1.10', port: 8080 }] },
      { frontend: { ip: '10.96.0.7', port: 53, protocol: 'UDP' }, backends: [{ ip: '10.244.1.9', port: 5353 }, { ip: '10.244.1.10', port: 5353 }] },
    ])
  })

  it('has none for headless and external services', () => {
    expect(frontendsOf(service('a', { clusterIP: 'None', ports: [{ port: 80 }] }), undefined, ['192.168.77.11'])).toEqual([])
    expect(frontendsOf(service('a', { type: 'ExternalName', ports: [{ port: 80 }] }), undefined, ['192.168.77.11'])).toEqual([])
  })

  it('keeps a frontend without backends', () => {
    expect(frontendsOf(service('a', { clusterIP: '10.96.0.8', ports: [{ port: 80 }] }), undefined, ['192.168.77.11'])).toEqual([{ frontend: { ip: '10.96.0.8', port: 80, protocol: 'TCP' }, backends: [] }])
  })
})

describe('frontends outside the cluster', () => {
  it('are the node port at every node and the external IPs, with the affinity of the service', () => {
    const web = service('web', { clusterIP: '10.96.0.7', type: 'NodePort', externalIPs: ['203.0.113.5', 'fd00::5'], sessionAffinity: 'ClientIP', ports: [{ port: 80, nodePort: 30080 }] })
    const found = frontendsOf(web, undefined, ['192.168.77.11', '192.168.77.12'])
    expect(found.map(({ frontend, affinity }) => `${frontend.ip}:${frontend.port} ${affinity}`)).toEqual(['10.96.0.7:80 10800', '203.0.113.5:80 10800', '192.168.77.11:30080 10800', '192.168.77.12:30080 10800'])
    const timed = service('web', { clusterIP: '10.96.0.7', sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } }, ports: [{ port: 80 }] })
    expect(frontendsOf(timed, undefined, [])[0]?.affinity).toBe(60)
  })
})

describe('desiredServices', () => {
  const at = (ip: string, name: string) => service(name, { clusterIP: ip, ports: [{ port: 80 }] })
  it('keeps numbers while others come and go, and does not hand out a freed one at once', () => {
    const ids = new ServiceIds()
    const numbers = (...services: Service[]) => [...desiredServices(services, [], [], [], ids).values()].map(({ id, frontend }) => `${frontend.ip}=${id}`)
    expect(numbers(at('10.96.0.2', 'b'), at('10.96.0.1', 'a'))).toEqual(['10.96.0.1=1', '10.96.0.2=2'])
    expect(numbers(at('10.96.0.2', 'b'))).toEqual(['10.96.0.2=2'])
    expect(numbers(at('10.96.0.2', 'b'), at('10.96.0.1', 'c'), at('10.96.0.3', 'd'))).toEqual(['10.96.0.1=3', '10.96.0.2=2', '10.96.0.3=4'])
  })

  it('leaves those made by hand their number', () => {
    const ids = new ServiceIds([['10.96.0.1:80/TCP', 1]])
    const manual = { id: 7, frontend: { ip: '10.96.0.9', port: 80, protocol: 'TCP' as const }, backends: [{ ip: '10.244.1.2', port: 80, weight: 3 }] }
    const found = desiredServices([at('10.96.0.1', 'a'), at('10.96.0.9', 'shadowed'), at('10.96.0.2', 'b')], [], [], [manual], ids)
    expect(found.get('10.96.0.9:80/TCP')).toEqual(manual)
    expect([...found.values()].map(({ id }) => id).sort()).toEqual([1, 2, 7])
  })
})
