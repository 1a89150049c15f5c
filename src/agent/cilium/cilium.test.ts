import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { V1DaemonSet, V1Secret } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { ClusterHandle } from '../../cluster/index.ts'
import type { Context } from '../../core/context.ts'
import { LineProgress } from '../../core/progress.ts'
import { Registry } from '../../core/registry.ts'
import { writeImageTar } from '../../image/index.ts'
import { adapt, askCilium, cilium } from '../cilium.ts'
import type { AgentOptions } from '../driver.ts'
import { manifestsText, parseManifests, type KubeObject } from '../manifests.ts'
import { of114, of12 } from './test-manifests.ts'
import { writeOciLayout } from './test-stand-in.ts'
import { optionsOf, type CiliumSettings } from './settings.ts'
import { atLeast, parseVersion, parseVersionOutput } from './version.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-cilium-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const pem = (name: string): string => {
  writeFileSync(join(dir, name), `the ${name}`)
  return join(dir, name)
}
const etcd = { endpoint: 'https://172.31.255.1:2379', ca: pem('ca'), client: { cert: pem('certificate'), key: pem('key') }, link: '' }
const place = { nodeApi: { host: '172.31.255.1', port: 6443 }, etcd: () => etcd }
const tars = (...refs: string[]) => refs.map((ref) => ({ images: [{ refs: [ref], labels: {} }] }))
const image12 = 'registry.example/cilium/cilium:v1.2.5'
const [agent114, operator114] = ['registry.example/cilium/cilium:v1.14.2', 'registry.example/cilium/operator-generic:v1.14.2']
const adapted = (text: string, refs: readonly string[], options: AgentOptions = {}, minor = 20) => {
  const result = adapt(parseManifests(text, 'cilium.yaml'), tars(...refs), options, minor, place)
  // As kubectl gets them.
  const objects = parseAllDocuments(manifestsText(result.adapted.objects)).map((document) => document.toJS() as KubeObject)
  const named = <T>(kind: string, name: string): T => objects.find((object) => object.kind === kind && object.metadata.name === name) as unknown as T
  return { ...result, objects, named, agent: named<V1DaemonSet>('DaemonSet', 'cilium') }
}

describe('manifests of 1.2 on Kubernetes 1.20', () => {
  const { objects, named, agent, adapted: { notes } } = adapted(of12, [image12])
  const pod = agent.spec!.template.spec!
  const container = pod.containers[0]!

  it('are of versions that it serves, with the selector that it wants', () => {
    expect(objects.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)).toEqual(['v1 ServiceAccount', 'rbac.authorization.k8s.io/v1 ClusterRoleBinding', 'v1 Secret', 'v1 ConfigMap', 'apps/v1 DaemonSet'])
    expect(agent.spec!.selector).toEqual({ matchLabels: { 'k8s-app': 'cilium', 'kubernetes.io/cluster-service': 'true' } })
    expect(agent.spec).not.toHaveProperty('templateGeneration')
    expect(named('ClusterRoleBinding', 'cilium')).toMatchObject({ roleRef: { apiGroup: 'rbac.authorization.k8s.io' }, subjects: [{ kind: 'ServiceAccount' }, { kind: 'Group', apiGroup: 'rbac.authorization.k8s.io' }] })
    expect((named<{ subjects: object[] }>('ClusterRoleBinding', 'cilium')).subjects[0]).not.toHaveProperty('apiGroup')
  })

  it('reach the API server where no kube-proxy is', () => {
    expect(container.env).toContainEqual({ name: 'KUBERNETES_SERVICE_HOST', value: '172.31.255.1' })
    expect(container.env).toContainEqual({ name: 'KUBERNETES_SERVICE_PORT', value: '6443' })
    expect(container.env!.map(({ name }) => name)).toEqual(expect.arrayContaining(['K8S_NODE_NAME', 'CILIUM_DEBUG']))
  })

  it('ask containerd, and no docker, which pod a container is of', () => {
    expect(pod.volumes!.flatMap(({ hostPath }) => hostPath?.path ?? [])).not.toContain('/var/run/docker.sock')
    expect(container.volumeMounts!.map(({ name }) => name)).not.toContain('docker-socket')
    expect(pod.volumes).toContainEqual({ name: 'containerd-socket', hostPath: { path: '/run/containerd/containerd.sock', type: 'Socket' } })
    expect(container.volumeMounts).toContainEqual({ name: 'containerd-socket', mountPath: '/var/run/containerd/containerd.sock', readOnly: true })
    expect(container.args).toContain('--container-runtime=containerd')
  })

  it('take the image of the tar, and leave out what only a registry has and a new machine does without', () => {
    expect(container).toMatchObject({ image: image12, imagePullPolicy: 'IfNotPresent' })
    expect(pod.initContainers).toEqual([])
    expect(notes).toContain('the init container clean-cilium-state is left out: its image registry.example/library/busybox:1.28.4 is in no tar, and there is nothing to clean on a new machine')
  })

  it('reach the etcd that the cluster offers, with certificates from a Secret', () => {
    expect((named<{ data: Record<string, string> }>('ConfigMap', 'cilium-config')).data['etcd-config']).toBe('---\nendpoints:\n  - https://172.31.255.1:2379\nca-file: /var/lib/etcd-secrets/etcd-ca\nkey-file: /var/lib/etcd-secrets/etcd-client-key\ncert-file: /var/lib/etcd-secrets/etcd-client-crt\n')
    const secret = named<V1Secret>('Secret', 'cilium-etcd-secrets')
    expect(secret.metadata!.namespace).toBe('kube-system')
    expect(Object.entries(secret.data!).map(([name, text]) => [name, Buffer.from(text, 'base64').toString()])).toEqual([['etcd-ca', 'the ca'], ['etcd-client-key', 'the key'], ['etcd-client-crt', 'the certificate']])
    expect(pod.volumes!.filter(({ secret: mounted }) => mounted)).toEqual([{ name: 'etcd-secrets', secret: { secretName: 'cilium-etcd-secrets' } }])
    for (const path of ['/var/lib/etcd-config', '/var/lib/etcd-secrets']) expect(container.volumeMounts!.filter(({ mountPath }) => mountPath === path)).toEqual([expect.objectContaining({ readOnly: true })])
    expect(container.args!.filter((arg) => arg.startsWith('--kvstore'))).toEqual(['--kvstore=etcd', '--kvstore-opt=etcd.config=/var/lib/etcd-config/etcd.config'])
  })

  it('have the options that suites need, as arguments, each once', () => {
    expect(container.args).toEqual(['--debug=$(CILIUM_DEBUG)', '--tunnel=vxlan', '--enable-policy=default', '--k8s-require-ipv4-pod-cidr=true', '--container-runtime=containerd', '--kvstore=etcd', '--kvstore-opt=etcd.config=/var/lib/etcd-config/etcd.config'])
  })

  it('are scheduled on nodes that are not Ready, and not killed for being slow', () => {
    expect(pod.tolerations).toContainEqual({ operator: 'Exists' })
    expect(container.readinessProbe).toMatchObject({ timeoutSeconds: 30, periodSeconds: 15 })
    expect(container.livenessProbe).toMatchObject({ timeoutSeconds: 30, initialDelaySeconds: 600 })
  })

  it.each([
    ['of CRI-O', '{path: /var/run/crio/crio.sock}', '/var/run/crio.sock'],
    ['of microk8s', '{path: /var/snap/microk8s/common/run/containerd.sock, type: Socket}', '/var/run/containerd/containerd.sock'],
    ['of containerd', '{path: /var/run/containerd/containerd.sock, type: Socket}', '/var/run/containerd/containerd.sock'],
  ])('%s reach the containerd of the nodes', (_what, hostPath, mountPath) => {
    const { agent: variant } = adapted(of12.replace('{path: /var/run/docker.sock, type: Socket}', hostPath).replace('mountPath: /var/run/docker.sock', `mountPath: ${mountPath}`), [image12])
    const { volumes, containers: [only] } = variant.spec!.template.spec!
    const mounts = only!.volumeMounts!.filter(({ mountPath: at }) => at.endsWith('.sock'))
    expect(mounts.map(({ mountPath: at }) => at)).toEqual(['/var/run/containerd/containerd.sock'])
    expect(volumes!.filter(({ hostPath: path }) => path?.path.endsWith('.sock'))).toEqual([expect.objectContaining({ name: mounts[0]!.name, hostPath: { path: expect.stringMatching(/^(\/var)?\/run\/containerd\/containerd\.sock$/) as string, type: 'Socket' } })])
  })

  it('of 1.3 leave out the operator of an etcd that they do not use, where nodes could pull it too', () => {
    const operator = '---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cilium-etcd-operator, namespace: kube-system}\nspec: {template: {spec: {containers: [{name: x, image: "registry.example/cilium/cilium-etcd-operator:v2.0.3"}]}}}\n'
    const { objects: left, adapted: { notes: said } } = adapted(of12.replaceAll('v1.2.5', 'v1.3.2') + operator, [], { settings: { images: 'pull' } })
    expect(left.map(({ metadata }) => metadata.name)).not.toContain('cilium-etcd-operator')
    expect(said).toContain('Deployment cilium-etcd-operator is left out: identities are kept in another etcd')
    expect(adapted(of12.replaceAll('v1.2.5', 'v1.3.2') + operator, [], { settings: { images: 'pull', kvstore: 'manifests' } }).objects.map(({ metadata }) => metadata.name)).toContain('cilium-etcd-operator')
  })

  it('keep what is theirs', () => {
    expect(container.lifecycle!.postStart).toEqual({ exec: { command: ['/cni-install.sh'] } })
    expect(container.securityContext).toMatchObject({ privileged: true })
    expect(container.volumeMounts!.map(({ mountPath }) => mountPath)).toEqual(expect.arrayContaining(['/sys/fs/bpf', '/host/opt/cni/bin', '/host/etc/cni/net.d', '/var/lib/etcd-config']))
  })
})

describe('manifests of 1.14', () => {
  const { objects, named, agent, adapted: { notes } } = adapted(of114, [agent114, operator114])

  it('have the options in their ConfigMap, by the names of their version', () => {
    expect((named<{ data: object }>('ConfigMap', 'cilium-config')).data).toEqual({
      'identity-allocation-mode': 'crd', 'monitor-aggregation': 'none', 'routing-mode': 'tunnel', 'tunnel-protocol': 'vxlan', 'enable-policy': 'default', ipam: 'kubernetes', 'kube-proxy-replacement': 'false',
    })
    expect(agent.spec!.template.spec!.containers[0]!.args).toEqual(['--config-dir=/tmp/cilium/config-map'])
  })

  it('have their images by tag, as the tars do; the operator stays, Hubble goes', () => {
    expect(agent.spec!.template.spec).toMatchObject({ initContainers: [{ image: agent114 }], containers: [{ image: agent114, imagePullPolicy: 'IfNotPresent' }] })
    expect(objects.map(({ metadata }) => metadata.name)).toEqual(['cilium-config', 'cilium', 'cilium-operator'])
    expect(notes).toEqual(['Deployment hubble-relay is left out: its image registry.example/cilium/hubble-relay:v1.14.2 is in no tar'])
  })

  it('reach the API server from the operator too', () => {
    expect((named<V1DaemonSet>('Deployment', 'cilium-operator')).spec!.template.spec!.containers[0]!.env).toContainEqual({ name: 'KUBERNETES_SERVICE_HOST', value: '172.31.255.1' })
  })

  it('are left whole where nodes can pull what is in no tar', () => {
    const { objects: whole, agent: pulled } = adapted(of114, [], { settings: { images: 'pull' } })
    expect(whole.map(({ metadata }) => metadata.name)).toContain('hubble-relay')
    expect(pulled.spec!.template.spec!.containers[0]!.image).toBe('registry.example/cilium/cilium:v1.14.2@sha256:0123')
  })

  it('without the operator\'s image are refused', () => {
    expect(() => adapted(of114, [agent114])).toThrow(/need registry\.example\/cilium\/operator-generic:v1\.14\.2, which is in no tar/)
  })

  it('may keep identities in an etcd', () => {
    const { named: kept } = adapted(of114, [agent114, operator114], { settings: { kvstore: 'etcd' } })
    expect((kept<{ data: object }>('ConfigMap', 'cilium-config')).data).toMatchObject({ 'identity-allocation-mode': 'kvstore', kvstore: 'etcd', 'kvstore-opt': '{"etcd.config":"/var/lib/etcd-config/etcd.config"}' })
    expect(kept('Secret', 'cilium-etcd-secrets')).toBeDefined()
  })
})

describe('a tar and manifests as somebody has them', () => {
  const ctx: Context = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
  const kubernetes = { version: 'v1.20.2', bin: dir, digest: 'k' }
  const cluster = { version: 'v1.20.2', nodeApi: place.nodeApi, etcd, nodes: [] } as unknown as ClusterHandle
  const dockerTar = join(dir, 'docker.tar')
  const ociTar = join(dir, 'oci.tar')
  const manifests = join(dir, 'cilium.yaml')
  beforeAll(async () => {
    writeFileSync(manifests, of12)
    await writeImageTar({ ref: image12, entrypoint: ['/usr/bin/cilium-agent'], files: [{ path: '/usr/bin/cilium-agent', content: '#!/bin/sh\n', mode: 0o755 }] }, dockerTar, ctx)
    await writeOciLayout(dockerTar, image12, ociTar)
  })

  it.each([['docker save', () => dockerTar], ['an OCI layout', () => ociTar]])('are taken from the flags to what kubectl gets: %s', async (_what, tar) => {
    const options: AgentOptions = { manifests: [manifests], images: [tar()] }
    cilium.check!(options)
    expect(await cilium.needsEtcd!(ctx, options, kubernetes)).toBe(true)
    expect(await cilium.prepareImages(ctx, options, kubernetes)).toMatchObject([{ ref: image12, path: tar() }])
    const plan = await cilium.plan(cluster, ctx, options)
    expect(parseManifests(plan.manifests, 'kubectl').map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)).toEqual(['v1 ServiceAccount', 'rbac.authorization.k8s.io/v1 ClusterRoleBinding', 'v1 Secret', 'v1 ConfigMap', 'apps/v1 DaemonSet'])
    expect(plan.handle).toMatchObject({ version: '1.2.5', namespace: 'kube-system', cli: ['cilium'], monitor: { form: 'json' }, tunnel: 'vxlan', patience: 5 })
    expect((await plan.refine!(() => Promise.resolve('Client: 1.2.7 a 2019\nDaemon: 1.2.7 a 2019\n'))).version).toBe('1.2.7')
  })

  it('whose image is of another name than the manifests\' are one note', async () => {
    writeFileSync(join(dir, 'latest.yaml'), of12.replace(':v1.2.5', ':latest'))
    const plan = await cilium.plan(cluster, ctx, { manifests: [join(dir, 'latest.yaml')], images: [ociTar] })
    expect(plan.notes).toContain(`the manifests have registry.example/cilium/cilium:latest, the tar ${image12}: this one is used`)
  })

  it('of a folder with more than one DaemonSet of it are refused, with what to give', async () => {
    mkdirSync(join(dir, '1.11'))
    for (const name of ['cilium.yaml', 'cilium-ds.yaml']) writeFileSync(join(dir, '1.11', name), of12)
    await expect(cilium.prepareImages(ctx, { manifests: [join(dir, '1.11')], images: [dockerTar] }, kubernetes)).rejects.toMatchObject({ blame: 'usage', message: '--agent-manifests: more than one DaemonSet of cilium-agent: cilium, cilium', hint: expect.stringContaining('give one of the files') as string })
  })
})

describe('what cannot be installed is refused', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['without manifests', () => cilium.check!({}), /^--agent cilium needs its manifests$/],
    ['an image that is nowhere', () => adapted(of12, []), /need registry\.example\/cilium\/cilium:v1\.2\.5, which is in no tar; the machines have no way to a registry/],
    ['no DaemonSet', () => adapted('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config}', [image12]), /no DaemonSet with a container of cilium-agent/],
    ['two of them', () => adapted(`${of12}---\n${of12.replaceAll('name: cilium,', 'name: cilium-crio,')}`, [image12]), /more than one DaemonSet of cilium-agent: cilium, cilium-crio/],
    ['no ConfigMap', () => adapted(of12.slice(of12.indexOf('---\nkind: DaemonSet')), [image12]), /there is no ConfigMap cilium-config/],
    ['identities in Kubernetes before 1.6', () => adapted(of12, [image12], { settings: { kvstore: 'crd' } }), /Cilium 1\.2\.5 keeps identities in a kvstore only; 1\.6 was the first/],
    ['1.2.5 on a Kubernetes that it cannot register its kinds with', () => adapted(of12, [image12], {}, 22), /^Cilium 1\.2\.5 does not run on Kubernetes 1\.22: it needs one before 1\.22, as it registers its CustomResourceDefinitions by apiextensions\.k8s\.io\/v1beta1/],
    ['1.16 on a Kubernetes that is too old for it', () => adapted(of114.replaceAll('v1.14.2', 'v1.16.1'), [agent114.replace('1.14.2', '1.16.1')]), /^Cilium 1\.16\.1 does not run on Kubernetes 1\.20: it needs 1\.21 or later/],
    ['a version that nothing says', () => adapted(of12.replace(':v1.2.5', ':latest'), ['registry.example/cilium/cilium:latest']), /the version of registry\.example\/cilium\/cilium:latest is not in its name/],
    ['a template of Helm', () => parseManifests('{{- if .Values.agent }}\nkind: DaemonSet\n{{- end }}', 'ds.yaml'), /^ds\.yaml is not YAML: /],
    ['something else', () => parseManifests('hello: world', 'x.yaml'), /^x\.yaml, document 1 is no object of Kubernetes:/],
  ])('%s', (_what, attempt, message) => expect(attempt).toThrow(message))

  it('but an image of another name is taken where it is the only one', () => {
    const { agent, version, adapted: { notes } } = adapted(of12.replace(':v1.2.5', ':latest'), ['docker.io/cilium/cilium:v1.2.5'])
    expect(agent.spec!.template.spec!.containers[0]!.image).toBe('docker.io/cilium/cilium:v1.2.5')
    expect(version.text).toBe('1.2.5')
    expect(notes).toContain('the manifests have registry.example/cilium/cilium:latest, the tar docker.io/cilium/cilium:v1.2.5: this one is used')
  })
})

describe('a version', () => {
  test.each([['v1.2.5', '1.2.5'], ['1.15.0-rc.1', '1.15.0-rc.1'], ['v1.2', '1.2'], ['latest', undefined], ['sha256:0123', undefined]])('of %s is %s', (text, version) => expect(parseVersion(text)?.text).toBe(version))
  // Forms of `cilium version`: 1.3.2 as in Cilium's bug reports, 1.1x as in its documentation.
  test.each([
    ['1.3.2 34ff2fb1d 2019-01-09T02:16:31+01:00 go version go1.10.3 linux/amd64\n', '1.3.2'],
    ['Client: 1.2.5 e5bdbb7 2018-10-22T22:48:09+00:00 go version go1.10.3 linux/amd64\nDaemon: 1.2.4 0123456 2018-09-22T22:48:09+00:00 go version go1.10.3 linux/amd64\n', '1.2.4'],
  ])('is the daemon\'s in %j', (text, version) => expect(parseVersionOutput(text)?.text).toBe(version))
  it('is compared by its numbers', () => {
    expect(atLeast(parseVersion('1.14.2')!, '1.6')).toBe(true)
    expect(atLeast(parseVersion('1.5.9')!, '1.14')).toBe(false)
    expect(atLeast(parseVersion('2.0')!, '1.18')).toBe(true)
  })
})

describe('settings', () => {
  const settings: CiliumSettings = { tunnel: 'disabled', enforcement: 'always', kvstore: 'crd', kubeProxyReplacement: 'true', containerRuntime: 'containerd' }
  it.each<[string, object]>([
    ['1.0.7', { tunnel: 'disabled', 'enable-policy': 'always' }],
    ['1.5.0', { tunnel: 'disabled', 'enable-policy': 'always', 'monitor-aggregation': 'none', 'k8s-require-ipv4-pod-cidr': 'true', 'container-runtime': 'containerd' }],
    ['1.13.0', { tunnel: 'disabled', 'enable-policy': 'always', 'monitor-aggregation': 'none', 'identity-allocation-mode': 'crd', ipam: 'kubernetes', 'kube-proxy-replacement': 'strict' }],
    ['1.16.0', { 'routing-mode': 'native', 'enable-policy': 'always', 'monitor-aggregation': 'none', 'identity-allocation-mode': 'crd', ipam: 'kubernetes', 'kube-proxy-replacement': 'true' }],
  ])('have the names of %s', (version, options) => {
    expect(Object.fromEntries(Object.entries(optionsOf(parseVersion(version)!, settings)).filter(([, value]) => value !== undefined))).toEqual(options)
  })
})

it('YAML of the adapted objects has no anchors, which kubectl would resolve but people not read', () => {
  expect(manifestsText(adapted(of12, [image12]).adapted.objects)).not.toMatch(/[&*]a\d/)
})

describe('a Cilium that is found', () => {
  /** Answers of a pod: command lines and files. */
  const pod = (answers: Readonly<Record<string, string>>) => (argv: readonly string[]) => Promise.resolve(answers[argv.join(' ')])
  const map = '/tmp/cilium/config-map'

  it('is looked for by the label of all installers, without manifests', () => {
    expect(cilium.find!({}).handle).toMatchObject({ namespace: 'kube-system', selector: 'k8s-app=cilium', container: 'cilium-agent' })
  })

  it('says its version, and its folder of options the rest', async () => {
    const newest = { 'cilium-dbg version': 'Client: 1.16.1 68579055 2024-08-14\nDaemon: 1.16.1 68579055', [`cat ${map}/routing-mode`]: 'tunnel', [`cat ${map}/tunnel-protocol`]: 'geneve\n', [`cat ${map}/monitor-aggregation`]: 'medium' }
    expect(await askCilium(pod(newest), {})).toMatchObject({ version: '1.16.1', cli: ['cilium-dbg'], tunnel: 'geneve', capabilities: { tunnel: true, monitor: 'it tells of some packets only (monitor-aggregation is medium; suites need none)', 'network-policy': true } })
    const native = { 'cilium version': 'Client: 1.14.2', [`cat ${map}/routing-mode`]: 'native', [`cat ${map}/monitor-aggregation`]: 'none' }
    expect(await askCilium(pod(native), {})).toMatchObject({ version: '1.14.2', cli: ['cilium'], capabilities: { tunnel: 'tunnel is disabled', monitor: true } })
  })

  it('before 1.6 says them in its arguments', async () => {
    const old = { 'cilium version': 'Client: 1.2.5 e5bdbb7', 'cat /proc/1/cmdline': ['cilium-agent', '--tunnel', 'vxlan', '--enable-policy=always'].join('\0') }
    expect(await askCilium(pod(old), {})).toMatchObject({ version: '1.2.5', tunnel: 'vxlan', capabilities: { tunnel: true, 'network-policy': expect.stringContaining('enforcement is always') as string } })
  })

  it('that does not say what it is, is one message, unless the user says it', async () => {
    await expect(askCilium(pod({}), {})).rejects.toMatchObject({ blame: 'agent', message: 'the agent does not say which Cilium it is' })
    expect(await askCilium(pod({}), { settings: { version: '1.14.2' } })).toMatchObject({ version: '1.14.2' })
  })
})
