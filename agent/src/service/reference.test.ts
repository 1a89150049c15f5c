import { expect, it } from 'vitest'
import type { Service } from '../k8s/types.ts'
import { serviceAddresses } from './reference.ts'

const service = (name: string, spec: Partial<Service['spec']> = {}): Service => ({ metadata: { namespace: 'default', name, labels: { app: name } }, spec: { clusterIP: '10.96.0.7', ...spec } })
const cluster = {
  services: [service('db'), service('web', { selector: { app: 'web' } }), service('other')],
  endpoints: ['db', 'web', 'other'].map((name, i) => ({ metadata: { namespace: 'default', name }, subsets: [{ addresses: [{ ip: `10.9.${i}.1` }], ports: [{ port: 80 }] }] })),
  slices: [
    { metadata: { namespace: 'default', name: 'db-1', labels: { 'kubernetes.io/service-name': 'db' } }, addressType: 'IPv6', endpoints: [{ addresses: ['fd09:1::1'] }] },
    { metadata: { namespace: 'default', name: 'db-2', labels: { 'kubernetes.io/service-name': 'db' } }, addressType: 'IPv4', endpoints: [{ addresses: ['10.9.0.1'] }, { addresses: ['10.9.0.2'] }] },
    { metadata: { namespace: 'default', name: 'db-3', labels: { 'kubernetes.io/service-name': 'db' } }, addressType: 'FQDN', endpoints: [{ addresses: ['db.example'] }] },
  ],
}

it('finds the addresses of both families of a service by its name or its labels, each once', () => {
  const all = ['10.9.0.1', '10.9.0.2', 'fd09:1::1']
  expect(serviceAddresses({ k8sService: { serviceName: 'db', namespace: 'default' } }, cluster)).toEqual(all)
  expect(serviceAddresses({ k8sServiceSelector: { selector: { matchLabels: { app: 'db' } } } }, cluster)).toEqual(all)
})

it('finds none of a service that selects pods, nor of one that is not there', () => {
  expect(serviceAddresses({ k8sService: { serviceName: 'web', namespace: 'default' } }, cluster)).toEqual([])
  expect(serviceAddresses({ k8sService: { serviceName: 'db', namespace: 'elsewhere' } }, cluster)).toEqual([])
})
