import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { V1Node, V1SelfSubjectAccessReview } from '@kubernetes/client-node'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { Context } from '../../core/context.ts'
import { LineProgress } from '../../core/progress.ts'
import { Registry } from '../../core/registry.ts'
import { kubeClient } from '../client.ts'
import { missingReason } from '../lacks.ts'
import { assertAccess, neededPermissions } from './access.ts'
import { serverVersion } from './connect.ts'
import { lacksDualStack } from './dual-stack.ts'
import { fakeApi, kubeconfigText, type Answers, type FakeApi } from './fake-api.ts'
import { readKubeconfig, writeContext } from './kubeconfig.ts'
import { claimNamespaces, removeNamespaces } from './namespaces.ts'
import { startNodePods } from './node-pods.ts'
import { chooseNodes } from './nodes.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-foreign-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const open: FakeApi[] = []
afterEach(() => Promise.all(open.splice(0).map((api) => api.close())))
const api = async (answers: Answers): Promise<FakeApi> => {
  const started = await fakeApi(answers)
  open.push(started)
  return started
}
const ctx = (): Context => ({ registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal })
/** Where nobody listens any more. */
const closedUrl = async (): Promise<string> => {
  const gone = await fakeApi(() => 500)
  await gone.close()
  return gone.url
}
const file = (name: string, content: string): string => {
  const path = join(dir, name)
  writeFileSync(path, content)
  return path
}

describe('a kubeconfig', () => {
  const path = file('kubeconfig-good', kubeconfigText('https://198.51.100.1:6443'))

  test('that is read gives one context, and only that is written for the run, to its owner alone', () => {
    const context = readKubeconfig(path)
    expect(context).toMatchObject({ name: 'theirs', server: 'https://198.51.100.1:6443', user: 'visitor' })
    const written = writeContext(context, dir)
    expect(readFileSync(written, 'utf8')).not.toContain('broken')
    expect(readKubeconfig(written)).toMatchObject({ name: 'theirs', server: 'https://198.51.100.1:6443', user: 'visitor' })
    expect(statSync(written).mode & 0o777).toBe(0o600)
  })

  test.each([
    ['is not there', join(dir, 'nowhere'), undefined, /nowhere: there is no such file/],
    ['is something else', file('notes', 'just: [some'), undefined, /notes is no kubeconfig: /],
    ['is empty', file('empty', '{}'), undefined, /empty has no context/],
    ['has no such context', path, 'theirz', /--context theirz: .* has no such context \(did you mean "theirs"\?\)/],
    ['names a user that is missing', path, 'broken', /context broken names the user nobody, which is not there/],
  ])('that %s is a usage error', (_what, at, context, message) => {
    expect(() => readKubeconfig(at, context)).toThrow(expect.objectContaining({ blame: 'usage', message: expect.stringMatching(message) as string }) as Error)
  })
})

describe('an API server', () => {
  test('tells its version', async () => {
    const { kubeconfig } = await api(() => ({ gitVersion: 'v1.20.2' }))
    expect(await serverVersion(readKubeconfig(kubeconfig))).toBe('v1.20.2')
  })

  test('that is gone, or does not know the user, is one message with its address and context', async () => {
    const refusing = await api(() => 401)
    const context = readKubeconfig(refusing.kubeconfig)
    await expect(serverVersion(context)).rejects.toMatchObject({ blame: 'cluster', message: `the API server ${refusing.url} of context theirs does not accept visitor: Unauthorized` })
    const url = await closedUrl()
    const gone = readKubeconfig(file('gone', kubeconfigText(url)))
    await expect(serverVersion(gone)).rejects.toMatchObject({ blame: 'cluster', message: expect.stringMatching(new RegExp(`^the API server ${url} of context theirs does not answer: .*ECONNREFUSED`)) as string })
  })
})

describe('what the user may not do', () => {
  const needed = neededPermissions({ own: 'kernelbed-x', agent: 'kube-system', ciliumPolicies: true })

  test('is said whole, by place, and nothing is created', async () => {
    const reviews = await api(({ body }) => {
      const { resourceAttributes: asked } = (body as V1SelfSubjectAccessReview).spec
      return { status: { allowed: asked?.namespace === 'kube-system' ? asked.subresource !== 'exec' : asked?.resource !== 'namespaces' && asked?.group !== 'cilium.io' } }
    })
    await expect(assertAccess(readKubeconfig(reviews.kubeconfig), needed, 'kernelbed-x')).rejects.toMatchObject({
      blame: 'cluster', message: 'visitor (context theirs) may not do all that a run needs; nothing was created',
      details: 'in the whole cluster: namespaces (list, create, delete)\nin namespace kube-system: pods/exec (get, create)\nin namespaces that the run makes: ciliumnetworkpolicies.cilium.io (create, delete)',
    })
    expect(new Set(reviews.requests)).toEqual(new Set(['POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews']))
  })

  test('is nothing for an admin', async () => {
    const { kubeconfig } = await api(() => ({ status: { allowed: true } }))
    await expect(assertAccess(readKubeconfig(kubeconfig), needed, 'kernelbed-x')).resolves.toBeUndefined()
  })

  test('cannot be asked of a user whom the API server does not know: the kubeconfig is at fault', async () => {
    const message = 'selfsubjectaccessreviews.authorization.k8s.io is forbidden: User "system:anonymous" cannot create resource "selfsubjectaccessreviews"'
    const { kubeconfig } = await api(() => ({ kind: 'Status', code: 403, message }))
    await expect(assertAccess(readKubeconfig(kubeconfig), needed, 'kernelbed-x')).rejects.toMatchObject({
      blame: 'cluster', message: 'cannot ask what visitor may do: the API server does not know who that is', details: message, hint: expect.stringContaining('no credentials') as string,
    })
  })
})

const node = (name: string, { release = '6.1.0-40-amd64', ready = 'True', taint = false, os = 'linux' } = {}): V1Node => ({
  metadata: { name }, spec: { ...(taint ? { taints: [{ key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }] } : {}) },
  status: { nodeInfo: { kernelVersion: release, operatingSystem: os }, addresses: [{ type: 'InternalIP', address: `10.0.0.${name.at(-1)}` }, { type: 'Hostname', address: name }], conditions: [{ type: 'Ready', status: ready, reason: 'KubeletNotReady', message: 'cni plugin not initialized' }] },
}) as unknown as V1Node

describe('nodes', () => {
  test('are those that are Ready, workers first, each with the line of its kernel', () => {
    const { nodes, leftOut, refuses } = chooseNodes([node('cp1', { taint: true }), node('w10'), node('w2', { release: '4.9.154' }), node('w3', { ready: 'False' }), node('win4', { os: 'windows' })])
    expect(nodes.map(({ name, kernel, address }) => `${name} ${kernel.line} ${address}`)).toEqual(['w2 4.9 10.0.0.2', 'w10 6.1 10.0.0.0', 'cp1 6.1 10.0.0.1'])
    expect(leftOut).toEqual(['w3: not Ready: KubeletNotReady: cni plugin not initialized'])
    expect(refuses).toBe(false)
  })

  test('need not be Ready where the agent must refuse all their kernels, and are left out where it must refuse some', () => {
    const old = { release: '4.4.178', ready: 'False' }
    expect(chooseNodes([node('n1', old), node('n2', old)])).toMatchObject({ refuses: true, leftOut: [] })
    expect(chooseNodes([node('n1'), node('n2', old), node('n3')])).toMatchObject({ refuses: false, leftOut: ['n2: the agent must refuse its kernel, 4.4.178'] })
  })

  test('are nine at most', () => {
    const { nodes, leftOut } = chooseNodes(Array.from({ length: 11 }, (_, i) => node(`n${i + 1}`)))
    expect([nodes.length, leftOut]).toEqual([9, ['n10: 9 nodes are enough', 'n11: 9 nodes are enough']])
  })

  test.each([
    ['none', [], 'the cluster has no Linux nodes', ''],
    ['none that is Ready', [node('n1', { ready: 'False' }), node('n2', { ready: 'Unknown' })], 'no node of the cluster can be used', 'n1: not Ready: KubeletNotReady: cni plugin not initialized\nn2: not Ready: KubeletNotReady: cni plugin not initialized'],
    ['one', [node('n1')], 'the suites need two nodes, and only n1 can be used', ''],
  ])('too few, %s, are one message', (_what, all, message, details) => {
    expect(() => chooseNodes(all)).toThrow(expect.objectContaining({ blame: 'cluster', message, details }) as Error)
  })
})

describe('namespaces of a run', () => {
  test('are deleted by their label when the run ends, and waited for', async () => {
    const left = ['kernelbed-r', 'kernelbed-suites-1']
    const { kubeconfig, requests } = await api(({ method, path, query }) => {
      if (method === 'DELETE') left.splice(left.indexOf(path.split('/').at(-1)!), 1)
      else expect(query.get('labelSelector')).toBe('kernelbed.dev/run=r')
      return { items: left.map((name) => ({ metadata: { name } })) }
    })
    const run = ctx()
    claimNamespaces(kubeClient({ kubeconfig }), 'r', run)
    await run.registry.releaseAll()
    expect(requests.filter((request) => request.startsWith('DELETE'))).toEqual(['DELETE /api/v1/namespaces/kernelbed-r', 'DELETE /api/v1/namespaces/kernelbed-suites-1'])
    expect(left).toEqual([])
  })

  test('that cannot be removed are named, with the command that does it', async () => {
    const failing = await api(({ method }) => (method === 'DELETE' ? 500 : { items: [{ metadata: { name: 'kernelbed-r' } }] }))
    await expect(removeNamespaces(kubeClient(failing), 'r')).rejects.toMatchObject({ message: 'left in the cluster: namespace kernelbed-r, label kernelbed.dev/run=r', details: 'the fake says 500', hint: 'kubectl delete namespace -l kernelbed.dev/run=r' })
    const gone = kubeClient({ kubeconfig: file('api-gone', kubeconfigText(await closedUrl())) })
    await expect(removeNamespaces(gone, 'r')).rejects.toMatchObject({ message: 'left in the cluster: whatever the run made, label kernelbed.dev/run=r', details: expect.stringContaining('ECONNREFUSED') as string })
  })
})

describe('pods on nodes', () => {
  const pod = (state: object, phase = 'Pending'): object => ({ items: [{ metadata: { name: 'node-n1' }, spec: { nodeName: 'n1' }, status: { phase, containerStatuses: [{ name: 'node', state }] } }] })
  const start = async (answers: Answers) => startNodePods(kubeClient(await api(answers)), 'own', ['n1'], 'example.org/workload:1', () => Promise.resolve('load it'), ctx())

  test('are known by their node when they run', async () => {
    const { byNode } = await start(({ path }) => (path.endsWith('/pods') ? pod({ running: {} }, 'Running') : {}))
    expect([...byNode]).toEqual([['n1', { namespace: 'own', pod: 'node-n1', container: 'node' }]])
  })

  test('whose image cannot be pulled are one message, with what to do', async () => {
    await expect(start(({ path }) => (path.endsWith('/pods') ? pod({ waiting: { reason: 'ErrImagePull', message: 'not found' } }) : {}))).rejects.toMatchObject({
      blame: 'cluster', message: 'the workload image example.org/workload:1 cannot be had on n1', details: 'ErrImagePull: not found', hint: 'load it',
    })
  })

  test('that admission refuses are none, with its words', async () => {
    expect(await start(({ method }) => (method === 'POST' ? 403 : {}))).toEqual({ byNode: new Map(), refused: 'the fake says 403' })
  })
})

test('what a cluster lacks is a reason; what it has is none', () => {
  expect(missingReason(['wire', 'map:hash'], { wire: 'not ours' })).toBe('needs captures of all that nodes send to each other: not ours')
  expect(missingReason(['node:exec'], { wire: 'not ours' })).toBeUndefined()
  expect(missingReason(['wire'])).toBeUndefined()
})

describe('services of IPv6', () => {
  const answer = (given: object | number): Answers => ({ method, path, query }) => (method === 'POST' && path === '/api/v1/namespaces/default/services' && query.get('dryRun') === 'All' ? given : 404)

  test.each([
    ['are had where one that asks for it gets such an address', { spec: { clusterIP: 'fd96::1' } }, undefined],
    ['are not where an API server knows of no families', { spec: { clusterIP: '10.0.0.1' } }, 'it gives a service that asks for one 10.0.0.1'],
    ['are not where it refuses', 422, expect.stringContaining('it refuses a service that asks for one: ')],
  ])('%s', async (_what, given, wanted) => {
    const { kubeconfig } = await api(answer(given))
    expect(await lacksDualStack(kubeClient({ kubeconfig }))).toEqual(wanted)
  })
})
