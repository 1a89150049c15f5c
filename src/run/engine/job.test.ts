import { expect, test } from 'vitest'
import { parseE2e } from '../options.ts'
import { podCommand } from './inputs.ts'
import { cellNeeds, jobName, jobOf } from './job.ts'
import type { KubernetesEngineOptions } from './engine-options.ts'
import type { PodTask } from './pod-task.ts'

const task: PodTask = { id: '20261122-012843-b427/4.9+6.1', name: '4.9+6.1', agent: 'lash', repeat: 'npm run e2e -- --kernel 6.1', optional: false, inputs: false }
const engine: KubernetesEngineOptions = { kubeconfig: '/k', image: 'r/engine:2', deadlineMinutes: 30 }
const options = (await parseE2e(['--kernel', '6.1', '--nodes', '3', '--memory', '1024', '--cpus', '2']))!

test('a cell asks for what its machines and what runs beside them take', () => {
  expect(cellNeeds(options)).toEqual({ memoryMiB: 3 * (1024 + 128) + 1536, cpus: 6 })
  const [container] = jobOf(task, ['--kernel', '6.1'], options, engine).spec!.template.spec!.containers
  expect(container!.resources).toEqual({ requests: { cpu: '6', memory: '4992Mi' }, limits: { memory: '6240Mi' } })
  expect(container!.args).toEqual(['--kernel', '6.1'])
})

test('a Job runs once, has an end in any case, and needs no privileges', () => {
  const job = jobOf(task, [], options, engine)
  expect(job.spec).toMatchObject({ backoffLimit: 0, activeDeadlineSeconds: 1800, ttlSecondsAfterFinished: 600, template: { spec: { restartPolicy: 'Never', automountServiceAccountToken: false } } })
  expect(job.spec!.template.spec!.containers[0]!.securityContext).toBeUndefined()
  for (const { labels } of [job.metadata!, job.spec!.template.metadata!]) expect(labels).toMatchObject({ 'app.kubernetes.io/managed-by': 'kernelbed', 'kernelbed/run': '20261122-012843-b427', 'kernelbed/kernel': '4.9_6.1' })
})

test('names are those of Kubernetes, and differ where cells differ', () => {
  expect(jobName(task)).toMatch(/^kb-20261122-012843-b427-4-9-6-1-[0-9a-f]{4}$/)
  expect(jobName({ ...task, id: '20261122-012843-b427/4.9_6.1' })).not.toBe(jobName(task))
  const long = jobName({ id: `${'x'.repeat(80)}/y`, name: `-Ünusual name_${'z'.repeat(80)}` })
  expect(long).toMatch(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)
  expect(long.length).toBeLessThanOrEqual(50)
})

test('KVM comes from a device plugin, or the node\'s device in a privileged pod; the cache from a claim or a folder', () => {
  const plugin = jobOf(task, [], options, { ...engine, kvm: { resource: 'devices.kubevirt.io/kvm' }, cache: { claim: 'kb' } }).spec!.template.spec!
  expect(plugin.containers[0]!.resources!.limits).toMatchObject({ 'devices.kubevirt.io/kvm': '1' })
  expect(plugin.volumes).toContainEqual({ name: 'cache', persistentVolumeClaim: { claimName: 'kb' } })
  const device = jobOf(task, [], options, { ...engine, kvm: { device: '/dev/kvm' }, cache: { hostPath: '/c' } }).spec!.template.spec!
  expect(device.containers[0]!.securityContext).toEqual({ privileged: true })
  expect(device.volumes).toEqual(expect.arrayContaining([{ name: 'kvm', hostPath: { path: '/dev/kvm', type: 'CharDevice' } }, { name: 'cache', hostPath: { path: '/c', type: 'DirectoryOrCreate' } }]))
})

test('a pod runs what a person would type; folders of this host cannot go there', async () => {
  const suite = (await parseE2e(['--nodes', '6.1,6.12', '--suite', 'policy', '-t', 'drops']))!
  expect(podCommand(suite.cells[0]!, suite)).toEqual({ args: ['--nodes', '6.1,6.12', '--suite', 'policy', '-t', 'drops'], files: [] })
  expect(() => podCommand(options.cells[0]!, { ...options, kubernetes: '/usr' })).toThrow('--kubernetes /usr is a folder of this host')
  expect(() => podCommand(options.cells[0]!, { ...options, agent: '/tmp/mine.ts' })).toThrow('is a program of this host')
  expect(() => podCommand(options.cells[0]!, { ...options, agentGiven: { manifests: ['/usr'] } })).toThrow('--agent-manifests /usr is a folder of this host')
  const given = podCommand(options.cells[0]!, { ...options, agent: 'cilium', agentGiven: { manifests: ['https://example.org/c.yaml', '/etc/hostname'], images: ['/etc/hosts'] } })
  expect(given.files).toEqual([{ from: '/etc/hostname', to: '/work/inputs/100/hostname' }, { from: '/etc/hosts', to: '/work/inputs/101/hosts' }])
  expect(given.args).toEqual(expect.arrayContaining(['--agent-manifests', 'https://example.org/c.yaml', '--agent-manifests', '/work/inputs/100/hostname', '--agent-image', '/work/inputs/101/hosts']))
})
