import { readFileSync } from 'node:fs'

/** What pods and the datapath of a Cilium-like agent need of any kernel. */
export const datapathOptions = [
  'CONFIG_BPF', 'CONFIG_BPF_SYSCALL', 'CONFIG_BPF_JIT', 'CONFIG_NET_CLS_ACT', 'CONFIG_NET_SCH_INGRESS', 'CONFIG_NET_CLS_BPF',
  'CONFIG_VXLAN', 'CONFIG_GENEVE', 'CONFIG_VETH', 'CONFIG_IP_ADVANCED_ROUTER',
  'CONFIG_NET_NS', 'CONFIG_PID_NS', 'CONFIG_OVERLAY_FS',
] as const

/** Those of `wanted` that a kernel's config file has neither built in nor as modules. */
export function missingOptions(configFile: string, wanted: readonly string[]): string[] {
  const set = new Set([...readFileSync(configFile, 'utf8').matchAll(/^(CONFIG_\w+)=[ym]$/gm)].map(([, name]) => name))
  return wanted.filter((option) => !set.has(option))
}
