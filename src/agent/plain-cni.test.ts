import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { plainManifests } from './plain-cni.ts'

const nodes = [1, 2, 3].map((n) => ({ name: `node${n}`, address: `192.168.77.1${n}`, podCidr: `10.244.${n}.0/24` }))
const [config, daemons] = parseAllDocuments(plainManifests(nodes, 'busybox')).map((document) => document.toJS() as { data: Record<string, string>; spec: { template: { spec: { initContainers: { command: string[] }[] } } } })

describe('the plain network', () => {
  it('gives each node a route to every other node\'s pods, and none to its own', () => {
    expect(config!.data['node2.routes']).toBe('10.244.1.0/24 192.168.77.11\n10.244.3.0/24 192.168.77.13\n')
  })

  it('gives out each node\'s own addresses', () => {
    expect(JSON.parse(config!.data['node3.conflist']!)).toMatchObject({ cniVersion: '0.4.0', plugins: [{ type: 'bridge', ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.3.0/24' }]] } }] })
  })

  it('writes its configuration, which makes a node Ready, after its routes', () => {
    const script = daemons!.spec.template.spec.initContainers[0]!.command.at(-1)!
    expect(script.indexOf('ip route replace')).toBeGreaterThan(0)
    expect(script.indexOf('.conflist.new')).toBeGreaterThan(script.indexOf('ip route replace'))
  })
})
