import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod/mini'
import { normalized, range } from '../cluster/cidr.ts'
import { checkClusterCIDR6 } from '../cluster/ipv6.ts'
import { parseKvstoreOptions } from '../kvstore/config.ts'
import { messageOf } from '../log.ts'
import { listenAddress } from '../metrics/listen.ts'
import { didYouMean } from '../text/nearest.ts'
import { FlagError, parseFlags, type Flags } from './flags.ts'

const defaultDir = '/tmp/cilium/config-map'
/** No setting, but the file that `kvstore-opt` names: Cilium's installers have it in the same ConfigMap. */
const etcdConfigKey = 'etcd-config'

/** Every setting of the agent. Each is a flag, an environment variable (CILIUM_ and the name in capitals), and a file of the config folder. */
export const agentFlags: Flags = {
  'agent-health-port': { type: 'number', default: '9876', usage: 'TCP port on 127.0.0.1 that answers /livez (the agent runs) and /healthz (it is ready)' },
  'bpf-ct-global-tcp-max': { type: 'number', default: '0', usage: 'Connections, of any protocol, that can be tracked at once for each of IPv4 and IPv6; 0 for what an agent before this one had, or by the memory (65536 to 262144)' },
  'bpf-root': { type: 'string', default: '/sys/fs/bpf', usage: 'Where BPF maps are pinned' },
  'cluster-cidr': { type: 'string', default: '10.244.0.0/16', usage: 'Prefix of all pods' },
  'cluster-health-port': { type: 'number', default: '4240', usage: 'TCP port on which nodes ask each other for their health; 0 for none' },
  'cni-bin-dir': { type: 'string', default: '/host/opt/cni/bin', usage: 'Where the CNI plugin is copied to; empty for nowhere' },
  'cni-conf-dir': { type: 'string', default: '/host/etc/cni/net.d', usage: 'Where the CNI configuration is written to; empty for nowhere' },
  'cni-plugin': { type: 'string', default: '/opt/lash/cilium-cni', usage: 'The CNI plugin' },
  'config-dir': { type: 'string', default: defaultDir, usage: 'Folder with a file for each setting' },
  'conntrack-gc-interval': { type: 'number', default: '30', usage: 'Seconds between removals of expired connections' },
  debug: { type: 'bool', short: 'D', default: 'false', usage: 'Log more, and let the datapath emit debug messages' },
  'enable-policy': { type: 'string', default: 'default', usage: 'Enforce policy: default, always or never' },
  'enable-ipv6': { type: 'string', default: 'auto', usage: 'Give pods IPv6 addresses too: true, false, or auto (where the kernel has IPv6)' },
  'identity-gc-interval': { type: 'number', default: '15', usage: 'Seconds between looks for identities that no endpoint has; one that is unused at two of them is removed' },
  'ipv6-cluster-alloc-cidr': { type: 'string', default: 'f00d::/64', usage: 'IPv6 prefix of all pods, 64 bits; each node has a /96 of it' },
  'ipv6-service-range': { type: 'string', default: 'fd96::/112', usage: 'Prefix of all cluster IPs of IPv6' },
  'k8s-api-host': { type: 'string', default: '', usage: 'Host of the API server; default: as the environment of a pod has it' },
  'k8s-api-port': { type: 'string', default: '', usage: 'Port of the API server' },
  'k8s-ca-file': { type: 'string', default: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt', usage: 'CA of the API server' },
  'k8s-token-file': { type: 'string', default: '/var/run/secrets/kubernetes.io/serviceaccount/token', usage: 'Token to show the API server' },
  kvstore: { type: 'string', default: '', usage: 'Where identities and addresses of pods are kept: etcd; empty for Kubernetes' },
  'kvstore-lease-ttl': { type: 'number', default: '900', usage: 'Seconds after which the kvstore drops what a node wrote that is heard of no more' },
  'kvstore-opt': { type: 'string', default: '', usage: 'Options of the kvstore: etcd.config=FILE (the configuration of etcd\'s client), or etcd.address=URL' },
  'monitor-num-pages': { type: 'number', default: '64', usage: 'Pages of each CPU\'s perf ring, a power of two' },
  'node-name': { type: 'string', default: '', usage: 'Name of this Node; default: K8S_NODE_NAME, then the host name' },
  'object-file': { type: 'string', default: '/opt/lash/lash.o', usage: 'The compiled datapath' },
  'prefilter-device': { type: 'string', default: '', usage: 'Device on which prefixes are denied by XDP; default: that of this node\'s address' },
  'prefilter-mode': { type: 'string', default: 'auto', usage: 'Where XDP runs: native (in the driver), generic (in the stack), or auto: native where it can' },
  'prefilter-object-file': { type: 'string', default: '/opt/lash/prefilter.o', usage: 'The compiled prefilter' },
  'prometheus-serve-addr': { type: 'string', default: '', usage: 'Where metrics are served (:9090); empty for nowhere' },
  'service-cidr': { type: 'string', default: '10.96.0.0/16', usage: 'Prefix of all cluster IPs' },
  'skip-kernel-check': { type: 'bool', default: 'false', usage: 'Go on where the kernel is too old, to the errors of the loader' },
  'socket-path': { type: 'string', default: '/var/run/cilium/cilium.sock', usage: 'Socket of the agent\'s API' },
  'state-dir': { type: 'string', default: '/var/run/cilium/state', usage: 'Where endpoints are written down' },
  tunnel: { type: 'string', default: 'vxlan', usage: 'Encapsulation between nodes: vxlan or geneve' },
  'tunnel-port': { type: 'number', default: '0', usage: 'UDP port of the tunnel; 0 for 8472 (vxlan) or 6081 (geneve)' },
}

const prefix = z.string().check(z.refine((value) => { try { range(value); return true } catch { return false } }, 'not an IPv4 prefix such as 10.244.0.0/16'))
const prefix6 = z.string().check(z.refine((value) => { try { checkClusterCIDR6(value); return true } catch { return false } }, 'not an IPv6 prefix of 64 bits such as f00d::/64'))
const anyPrefix6 = z.string().check(z.refine((value) => { try { return value.includes(':') && normalized(value).length > 0 } catch { return false } }, 'not an IPv6 prefix such as fd96::/112'))
const flag = z.enum(['true', 'false', '1', '0'], 'must be true or false')
const kvstoreOptions = z.string().check(z.check<string>((payload) => { try { parseKvstoreOptions(payload.value) } catch (error) { payload.issues.push({ code: 'custom', input: payload.value, message: messageOf(error) }) } }))
const address = z.string().check(z.refine((value) => { try { return value === '' || listenAddress(value) !== undefined } catch { return false } }, 'must be an address such as :9090'))
const whole = (least: number, most: number) => z.coerce.number().check(z.int(), z.gte(least, `must be at least ${least}`), z.lte(most, `must be at most ${most}`))
const powerOfTwo = whole(1, 65_536).check(z.refine((value) => Number.isInteger(Math.log2(value)), 'must be a power of two'))

const schema = z.object({
  'agent-health-port': whole(0, 65_535), 'bpf-ct-global-tcp-max': whole(0, 2 ** 24), 'bpf-root': z.string(), 'cluster-cidr': prefix, 'cluster-health-port': whole(0, 65_535), 'cni-bin-dir': z.string(), 'cni-conf-dir': z.string(), 'cni-plugin': z.string(), 'config-dir': z.string(),
  'conntrack-gc-interval': whole(1, 86_400), debug: flag, 'enable-policy': z.enum(['default', 'always', 'never'], 'must be default, always or never'),
  'enable-ipv6': z.enum(['auto', 'true', 'false'], 'must be auto, true or false'), 'ipv6-cluster-alloc-cidr': prefix6, 'ipv6-service-range': anyPrefix6,
  'identity-gc-interval': whole(1, 86_400), 'k8s-api-host': z.string(), 'k8s-api-port': z.string().check(z.regex(/^\d*$/, 'must be a port number')), 'k8s-ca-file': z.string(), 'k8s-token-file': z.string(),
  kvstore: z.enum(['', 'etcd'], 'must be etcd, or empty for Kubernetes'), 'kvstore-lease-ttl': whole(1, 86_400), 'kvstore-opt': kvstoreOptions,
  'monitor-num-pages': powerOfTwo, 'node-name': z.string().check(z.minLength(1, 'is not known: set K8S_NODE_NAME')), 'object-file': z.string(), 'prefilter-device': z.string(), 'prefilter-mode': z.enum(['auto', 'native', 'generic'], 'must be auto, native or generic'), 'prefilter-object-file': z.string(), 'prometheus-serve-addr': address, 'service-cidr': prefix,
  'skip-kernel-check': flag, 'socket-path': z.string(), 'state-dir': z.string(), tunnel: z.enum(['vxlan', 'geneve'], 'must be vxlan or geneve'), 'tunnel-port': whole(0, 65_535),
})
export type AgentConfig = z.infer<typeof schema>

export const isOn = (value: AgentConfig['debug']): boolean => value === 'true' || value === '1'

/** Reads settings: flags, then environment, then the config folder, then defaults. Throws with the setting's name and what is wrong with it. */
export function readAgentConfig(argv: string[], env: NodeJS.ProcessEnv, hostname: string): AgentConfig {
  const { values, args } = parseFlags(argv, agentFlags)
  if (args.length > 0) throw new FlagError(`unknown command ${JSON.stringify(args[0])} for "cilium-agent"`)
  const flags = Object.fromEntries([...values].map(([name, list]) => [name, list.at(-1)!]))
  const dir = flags['config-dir'] ?? env['CILIUM_CONFIG_DIR']
  const settings = { ...defaults(env, hostname), ...fromDir(dir ?? defaultDir, dir !== undefined), ...fromEnv(env), ...flags }
  const result = schema.safeParse(settings)
  if (result.success) return result.data
  throw new FlagError(result.error.issues.map(({ path, message }) => `${path.join('.')}=${JSON.stringify(settings[String(path[0])])}: ${message}`).join('; '))
}

function defaults(env: NodeJS.ProcessEnv, hostname: string): Record<string, string> {
  const found = Object.fromEntries(Object.entries(agentFlags).map(([name, { default: value = '' }]) => [name, value]))
  return { ...found, 'node-name': env['K8S_NODE_NAME'] ?? hostname, 'k8s-api-host': env['KUBERNETES_SERVICE_HOST'] ?? '', 'k8s-api-port': env['KUBERNETES_SERVICE_PORT'] ?? '443' }
}

/** Variables that aren't settings (CILIUM_SOCK, what Kubernetes injects for a service named cilium) are not ours to judge. */
function fromEnv(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.keys(agentFlags).flatMap((name) => {
    const value = env[`CILIUM_${name.toUpperCase().replaceAll('-', '_')}`]
    return value === undefined || value === '' ? [] : [[name, value]]
  }))
}

/** A mounted ConfigMap: a file a key, and names that start with a dot, which are Kubernetes' own. An empty file leaves the default. */
function fromDir(dir: string, asked: boolean): Record<string, string> {
  if (!existsSync(dir)) {
    if (asked) throw new FlagError(`config-dir=${JSON.stringify(dir)}: no such folder`)
    return {}
  }
  return Object.fromEntries(readdirSync(dir).filter((name) => !name.startsWith('.') && name !== etcdConfigKey && statSync(join(dir, name)).isFile()).flatMap((name) => {
    if (!Object.hasOwn(agentFlags, name)) throw new FlagError(`unknown setting ${JSON.stringify(name)} in ${dir}${didYouMean(name, Object.keys(agentFlags))}`)
    const value = readFileSync(join(dir, name), 'utf8').trim()
    return value === '' ? [] : [[name, value]]
  }))
}
