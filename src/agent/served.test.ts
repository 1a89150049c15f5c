import { describe, expect, it } from 'vitest'
import { KernelbedError } from '../core/errors.ts'
import { parseManifests, type KubeObject } from './manifests.ts'
import { served } from './served.ts'

const object = (apiVersion: string, kind: string, more: object = {}): KubeObject => ({ apiVersion, kind, metadata: { name: 'x' }, ...more })
const on = (minor: number, ...objects: KubeObject[]) => {
  const { objects: now, notes } = served(objects, minor)
  return { versions: now.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`), notes, objects: now }
}

describe('an API version that Kubernetes does not serve', () => {
  it.each([
    [20, 'policy/v1', 'PodDisruptionBudget', 'policy/v1beta1'],
    [25, 'policy/v1beta1', 'PodDisruptionBudget', 'policy/v1'],
    [20, 'batch/v1', 'CronJob', 'batch/v1beta1'],
    [20, 'batch/v1', 'Job', 'batch/v1'],
    [20, 'extensions/v1beta1', 'NetworkPolicy', 'networking.k8s.io/v1'],
    [20, 'extensions/v1beta1', 'PodSecurityPolicy', 'policy/v1beta1'],
    [22, 'scheduling.k8s.io/v1beta1', 'PriorityClass', 'scheduling.k8s.io/v1'],
    [20, 'networking.k8s.io/v1', 'IngressClass', 'networking.k8s.io/v1'],
    [18, 'networking.k8s.io/v1', 'IngressClass', 'networking.k8s.io/v1beta1'],
    [20, 'rbac.authorization.k8s.io/v1beta1', 'ClusterRole', 'rbac.authorization.k8s.io/v1'],
    [20, 'apiextensions.k8s.io/v1beta1', 'CustomResourceDefinition', 'apiextensions.k8s.io/v1beta1'],
    [20, 'v1', 'ConfigMap', 'v1'],
  ])('1.%i: %s %s is %s', (minor, apiVersion, kind, now) => {
    const { versions, notes } = on(minor, object(apiVersion, kind))
    expect(versions).toEqual([`${now} ${kind}`])
    expect(notes).toEqual(now === apiVersion ? [] : [`${kind} x: ${apiVersion} is ${now} now`])
  })

  it.each(['extensions/v1beta1', 'apps/v1beta1', 'apps/v1beta2'])('of workloads, %s, is apps/v1 with the selector that it wants', (apiVersion) => {
    const template = { metadata: { labels: { app: 'x' } }, spec: {} }
    expect(on(20, object(apiVersion, 'DaemonSet', { spec: { templateGeneration: 3, template } })).objects).toEqual([object('apps/v1', 'DaemonSet', { spec: { selector: { matchLabels: { app: 'x' } }, template } })])
    const selector = { matchLabels: { app: 'x', other: 'y' } }
    expect(on(20, object(apiVersion, 'Deployment', { spec: { selector, template } })).objects).toEqual([object('apps/v1', 'Deployment', { spec: { selector, template } })])
  })

  it('that is gone for good is left out, and said', () => {
    expect(on(25, object('policy/v1beta1', 'PodSecurityPolicy'), object('extensions/v1beta1', 'ThirdPartyResource'), object('v1', 'Service'))).toMatchObject({
      versions: ['v1 Service'], notes: ['PodSecurityPolicy x is left out: Kubernetes 1.25 has no policy/v1beta1 PodSecurityPolicy', 'ThirdPartyResource x is left out: Kubernetes 1.25 has no extensions/v1beta1 ThirdPartyResource'],
    })
  })

  it.each<[number, KubeObject, RegExp]>([
    [22, object('apiextensions.k8s.io/v1beta1', 'CustomResourceDefinition'), /^CustomResourceDefinition x: Kubernetes 1\.22 has no apiextensions\.k8s\.io\/v1beta1/],
    [15, object('apiextensions.k8s.io/v1', 'CustomResourceDefinition'), /Kubernetes 1\.15 has no apiextensions\.k8s\.io\/v1/],
    [22, object('extensions/v1beta1', 'Ingress'), /Kubernetes 1\.22 has no extensions\/v1beta1/],
    [18, object('networking.k8s.io/v1', 'Ingress'), /Kubernetes 1\.18 has no networking\.k8s\.io\/v1/],
    [20, object('apps/v1beta2', 'DaemonSet', { spec: { template: { metadata: {} } } }), /has no labels in its template/],
  ])('1.%i: and cannot be rewritten is refused, with what to do', (minor, refused, message) => {
    expect(() => served([refused], minor)).toThrow(expect.objectContaining({ blame: 'usage', message: expect.stringMatching(message) as string, hint: expect.any(String) as string }) as KernelbedError)
  })
})

describe('a custom object', () => {
  const monitor = object('monitoring.coreos.com/v1', 'ServiceMonitor')
  it('without its definition is left out, and said', () => {
    expect(on(20, monitor)).toMatchObject({ versions: [], notes: ['ServiceMonitor x is left out: the manifests have no CustomResourceDefinition for ServiceMonitor of monitoring.coreos.com'] })
  })

  it('stays with it', () => {
    const definition = parseManifests('{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: servicemonitors.monitoring.coreos.com}, spec: {group: monitoring.coreos.com, names: {kind: ServiceMonitor}}}', 'crd.yaml')
    expect(on(20, monitor, ...definition).versions).toEqual(['monitoring.coreos.com/v1 ServiceMonitor', 'apiextensions.k8s.io/v1 CustomResourceDefinition'])
  })
})
