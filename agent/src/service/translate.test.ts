import { describe, expect, it } from 'vitest'
import type { Endpoints, EndpointSlice, Service } from '../k8s/types.ts'
import { desiredServices, frontendsOf, ServiceIds } from './translate.ts'

const service = (name: string, spec: Service['spec']): Service => ({ metadata: { namespace: 'default', name }, spec })
const endpoints = (name: string, subsets: NonNullable<Endpoints['subsets']>): Endpoints => ({ metadata: { namespace: 'default', name }, subsets })

describe('frontendsOf', () => {
  it('joins every subset by the name of the port', () => {
    const web = service('web', { clusterIP: '10.96.0.7', ports: [{ name: 'http', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }] })
    const found = frontendsOf(web, { endpoints: endpoints('web', [
      { addresses: [{ ip: '10.244.1.10' }, { ip: '10.244.1.9' }], ports: [{ name: 'http', port: 8080 }, { name: 'dns', port: 5353, protocol: 'UDP' }] },
      { addresses: [{ ip: '10.244.0.3' }], ports: [{ name: 'http', port: 9090 }] },
    ]) }, ['192.168.77.11'])
    expect(found).toEqual([
      { frontend: { ip: '10.96.0.7', port: 80, protocol: 'TCP' }, backends: [{ ip: '10.244.0.3', port: 9090 }, { ip: '10.244.1.9', port: 8080 }, { ip: '10.244.1.10', port: 8080 }] },
      { frontend: { ip: '10.96.0.7', port: 53, protocol: 'UDP' }, backends: [{ ip: '10.244.1.9', port: 5353 }, { ip: '10.244.1.10', port: 5353 }] },
    ])
  })

  it('has none for headless and external services', () => {
    expect(frontendsOf(service('a', { clusterIP: 'None', ports: [{ port: 80 }] }), {}, ['192.168.77.11'])).toEqual([])
    expect(frontendsOf(service('a', { type: 'ExternalName', ports: [{ port: 80 }] }), {}, ['192.168.77.11'])).toEqual([])
  })

  it('keeps a frontend without backends', () => {
    expect(frontendsOf(service('a', { clusterIP: '10.96.0.8', ports: [{ port: 80 }] }), {}, ['192.168.77.11'])).toEqual([{ frontend: { ip: '10.96.0.8', port: 80, protocol: 'TCP' }, backends: [] }])
  })
})

describe('frontends outside the cluster', () => {
  it('are the node port at every node and the external IPs, with the affinity of the service', () => {
    const web = service('web', { clusterIP: '10.96.0.7', type: 'NodePort', externalIPs: ['203.0.113.5', 'fd00::5'], sessionAffinity: 'ClientIP', ports: [{ port: 80, nodePort: 30080 }] })
    const found = frontendsOf(web, {}, ['192.168.77.11', '192.168.77.12'])
    expect(found.map(({ frontend, affinity }) => `${frontend.ip}:${frontend.port} ${affinity}`)).toEqual(['10.96.0.7:80 10800', '203.0.113.5:80 10800', '192.168.77.11:30080 10800', '192.168.77.12:30080 10800'])
    const timed = service('web', { clusterIP: '10.96.0.7', sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } }, ports: [{ port: 80 }] })
    expect(frontendsOf(timed, {}, [])[0]?.affinity).toBe(60)
  })
})

describe('services of IPv6', () => {
  const slice = (name: string, addressType: string, addresses: string[], ready?: boolean): EndpointSlice => ({
    metadata: { namespace: 'default', name: `${name}-${addressType}`, labels: { 'kubernetes.io/service-name': name } }, addressType,
    endpoints: addresses.map((address) => ({ addresses: [address], ...(ready === undefined ? {} : { conditions: { ready } }) })), ports: [{ name: '', port: 8080, protocol: 'TCP' }],
  })
  const nodes = ['192.168.77.11', 'f00d::af4:100:0:1']

  it('have Endpoints of their family where it is their only one', () => {
    const web = service('web', { clusterIP: 'fd96::7', clusterIPs: ['fd96::7'], type: 'NodePort', externalIPs: ['203.0.113.5', 'FD00:0::5'], ports: [{ port: 80, nodePort: 30080 }] })
    const found = frontendsOf(web, { endpoints: endpoints('web', [{ addresses: [{ ip: 'f00d::af4:100:0:9' }, { ip: '10.244.1.9' }], ports: [{ port: 8080 }] }]) }, nodes)
    expect(found.map(({ frontend: { ip, port } }) => `${ip} ${port}`)).toEqual(['fd96::7 80', 'fd00::5 80', 'f00d::af4:100:0:1 30080'])
    for (const { backends } of found) expect(backends).toEqual([{ ip: 'f00d::af4:100:0:9', port: 8080 }])
  })

  it('of both families have what EndpointSlices say for the second, those that are ready', () => {
    const web = service('web', { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7', 'fd96::7'], ports: [{ port: 80 }] })
    const slices = [slice('web', 'IPv4', ['10.244.9.9']), slice('web', 'IPv6', ['f00d::2', 'f00d::1'], true), slice('web', 'IPv6', ['f00d::3'], false), slice('other', 'IPv6', ['f00d::4'])]
    const cluster = { ...nothing, services: [web], endpoints: [endpoints('web', [{ addresses: [{ ip: '10.244.1.9' }], ports: [{ port: 8080 }] }])], slices }
    const found = desiredServices(cluster, [], new ServiceIds(), true)
    expect(Object.fromEntries([...found].map(([key, { id, backends }]) => [key, [id, ...backends.map(({ ip }) => ip)]]))).toEqual({ '10.96.0.7:80/TCP': [1, '10.244.1.9'], '[fd96::7]:80/TCP': [2, 'f00d::1', 'f00d::2'] })
    expect([...desiredServices(cluster, [], new ServiceIds(), false).keys()]).toEqual(['10.96.0.7:80/TCP'])
  })
})

const nothing = { services: [], endpoints: [], slices: [], nodes: [] }

describe('desiredServices', () => {
  const at = (ip: string, name: string) => service(name, { clusterIP: ip, ports: [{ port: 80 }] })
  it('keeps numbers while others come and go, and does not hand out a freed one at once', () => {
    const ids = new ServiceIds()
    const numbers = (...services: Service[]) => [...desiredServices({ ...nothing, services }, [], ids, true).values()].map(({ id, frontend }) => `${frontend.ip}=${id}`).sort()
    expect(numbers(at('10.96.0.2', 'b'), at('10.96.0.1', 'a'))).toEqual(['10.96.0.1=1', '10.96.0.2=2'])
    expect(numbers(at('10.96.0.2', 'b'))).toEqual(['10.96.0.2=2'])
    expect(numbers(at('10.96.0.2', 'b'), at('10.96.0.1', 'c'), at('10.96.0.3', 'd'))).toEqual(['10.96.0.1=3', '10.96.0.2=2', '10.96.0.3=4'])
  })

  it('is the same object for a service as long as nothing of it is another', () => {
    const ids = new ServiceIds()
    const [one, two] = [at('10.96.0.1', 'a'), at('10.96.0.2', 'b')]
    const specs = (...services: Service[]) => [...desiredServices({ ...nothing, services }, [], ids, true).values()]
    const [first, second] = specs(one, two)
    expect(specs(one, two).every((spec) => spec === first || spec === second)).toBe(true)
    const [same, other] = specs(one, at('10.96.0.2', 'b'))
    expect([same === first, other === second]).toEqual([true, false])
    expect(other).toEqual(second)
    const behind = { metadata: { name: 'a', namespace: one.metadata.namespace! }, subsets: [{ addresses: [{ ip: '10.244.1.2' }], ports: [{ port: 8080 }] }] }
    const [changed] = [...desiredServices({ ...nothing, services: [one, two], endpoints: [behind] }, [], ids, true).values()]
    expect(changed?.backends).toEqual([{ ip: '10.244.1.2', port: 8080 }])
  })

  it('leaves those made by hand their number', () => {
    const ids = new ServiceIds([['10.96.0.1:80/TCP', 1]])
    const manual = { id: 7, frontend: { ip: '10.96.0.9', port: 80, protocol: 'TCP' as const }, backends: [{ ip: '10.244.1.2', port: 80, weight: 3 }] }
    const found = desiredServices({ ...nothing, services: [at('10.96.0.1', 'a'), at('10.96.0.9', 'shadowed'), at('10.96.0.2', 'b')] }, [manual], ids, true)
    expect(found.get('10.96.0.9:80/TCP')).toEqual(manual)
    expect([...found.values()].map(({ id }) => id).sort()).toEqual([1, 2, 7])
  })
})
