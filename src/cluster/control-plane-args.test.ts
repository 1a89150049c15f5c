import { describe, expect, it } from 'vitest'
import { agentEtcdArgs, apiServerArgs, controllerManagerArgs, egressConfig, etcdArgs, schedulerArgs, schedulerConfig, type ControlPlaneFiles } from './control-plane-args.ts'

const pair = (name: string) => ({ cert: `/p/${name}.crt`, key: `/p/${name}.key` })
const files = (minor: number): ControlPlaneFiles => ({
  minor, apiPort: 20443, ca: pair('ca'), serving: pair('apiserver'), kubeletClient: pair('kubelet-client'), serviceAccounts: { key: '/p/sa.key', publicKey: '/p/sa.pub' },
  etcd: { dataDir: '/r/etcd', clientUrl: 'unix://etcd:1', peerUrl: 'unix://etcd:2' }, egressConfig: '/r/egress.json', controllerKubeconfig: '/r/kcm', schedulerConfig: '/r/s.json',
})

describe('arguments of the control plane', () => {
  it('bind the API server to loopback and keep its own endpoint reconciler out', () => {
    const args = apiServerArgs(files(20))
    expect(args).toContain('--bind-address=127.0.0.1')
    expect(args).toContain('--secure-port=20443')
    expect(args).toContain('--endpoint-reconciler-type=none')
    expect(args).toContain('--authorization-mode=Node,RBAC')
    expect(args).toContain('--insecure-port=0')
    expect(args).toContain('--egress-selector-config-file=/r/egress.json')
  })

  it('open no port but the API server\'s', () => {
    expect(etcdArgs(files(20)).filter((arg) => arg.includes('listen')).every((arg) => arg.includes('unix://'))).toBe(true)
    for (const args of [controllerManagerArgs(files(20)), schedulerArgs(files(20))]) expect(args).toEqual(expect.arrayContaining(['--secure-port=0', '--port=0']))
  })

  it('let nobody without a certificate of its CA in to the agent\'s etcd, and bind it to loopback', () => {
    const args = agentEtcdArgs({ dataDir: '/r/agent-etcd', port: 20379, peerUrl: 'unix://agent-etcd:2', endpoint: 'https://172.31.255.1:2379', ca: pair('etcd/ca'), serving: pair('etcd/serving') })
    expect(args).toEqual(expect.arrayContaining(['--client-cert-auth=true', '--trusted-ca-file=/p/etcd/ca.crt', '--listen-client-urls=https://127.0.0.1:20379', '--listen-peer-urls=unix://agent-etcd:2', '--advertise-client-urls=https://172.31.255.1:2379']))
  })

  it('leave out flags that newer versions no longer have', () => {
    const newer = [...apiServerArgs(files(29)), ...controllerManagerArgs(files(29)), ...schedulerArgs(files(29))].join(' ')
    expect(newer).not.toContain('--port=0')
    expect(newer).not.toContain('--insecure-port')
    expect(newer).not.toContain('APIPriorityAndFairness')
  })

  it('make services of both families, by a gate where that is off', () => {
    const range = '--service-cluster-ip-range=10.96.0.0/16,fd96::/112'
    expect(apiServerArgs(files(20))).toEqual(expect.arrayContaining([range, '--feature-gates=APIPriorityAndFairness=false,IPv6DualStack=true']))
    expect(controllerManagerArgs(files(20))).toContain('--feature-gates=IPv6DualStack=true')
    expect(apiServerArgs(files(29))).toContain(range)
    expect([...apiServerArgs(files(29)), ...controllerManagerArgs(files(29))].join(' ')).not.toContain('--feature-gates')
    expect(apiServerArgs(files(19))).toContain('--service-cluster-ip-range=10.96.0.0/16')
  })

  it.each([[20, 'v1beta1'], [23, 'v1beta2'], [25, 'v1'], [29, 'v1']])('give scheduler 1.%d a configuration of version %s', (minor, version) => {
    expect(schedulerConfig(minor, '/k', 20251)).toMatchObject({ apiVersion: `kubescheduler.config.k8s.io/${version}`, podMaxBackoffSeconds: 1 })
  })

  it('bind the scheduler of versions that always listen to loopback', () => {
    expect(schedulerConfig(20, '/k', 20251)).toMatchObject({ healthzBindAddress: '127.0.0.1:20251', metricsBindAddress: '127.0.0.1:20251' })
    expect(schedulerConfig(29, '/k', 20251)).not.toHaveProperty('healthzBindAddress')
  })

  it('send what goes to nodes and pods through the link', () => {
    expect(JSON.stringify(egressConfig('/s/link'))).toContain('"name":"cluster","connection":{"proxyProtocol":"HTTPConnect","transport":{"uds":{"udsName":"/s/link"}}}')
  })
})
