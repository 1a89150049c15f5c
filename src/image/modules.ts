/** `modules.dep` (modules.dep(5)): for each module's path, the paths it needs, all of them. Relative to the release's folder. */
export type ModuleDependencies = ReadonlyMap<string, readonly string[]>

export function parseModulesDep(text: string): ModuleDependencies {
  return new Map(text.split('\n').flatMap((line) => {
    const colon = line.indexOf(':')
    return colon === -1 ? [] : [[line.slice(0, colon), line.slice(colon + 1).split(' ').filter(Boolean)] as const]
  }))
}

/** `virtio_rng` of `kernel/drivers/char/hw_random/virtio-rng.ko.xz`, as lsmod has it. */
export const moduleName = (path: string): string => (path.split('/').at(-1) ?? path).replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_')

/** Paths in the order in which they can be inserted; names the kernel has no module for (built in) are left out. */
export function insertionOrder(names: readonly string[], dependencies: ModuleDependencies): string[] {
  const byName = new Map([...dependencies.keys()].map((path) => [moduleName(path), path]))
  const order = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    if (order.has(path) || trail.includes(path)) return
    for (const needed of [...(dependencies.get(path) ?? [])].reverse()) visit(needed, [...trail, path])
    order.add(path)
  }
  for (const name of names) {
    const path = byName.get(name)
    if (path !== undefined) visit(path, [])
  }
  return [...order]
}

/** Folders (below the release's) that a node of a cluster can have a use for; a module outside stays if one inside needs it. */
const useful = [
  /^kernel\/net\//, /^kernel\/lib\//, /^kernel\/crypto\//, /^kernel\/arch\/x86\/crypto\//, /^kernel\/drivers\/(virtio|block\/(virtio_blk|loop|nbd|zram))/, /^kernel\/drivers\/char\/hw_random\/virtio/, /^kernel\/drivers\/(ata\/(ahci|ata_piix)|scsi\/sd_mod)\.ko/,
  /^kernel\/drivers\/net\/([^/]+|vxlan\/.*|bonding\/.*|ipvlan\/.*|wireguard\/.*|netdevsim\/.*|team\/.*|ovpn\/.*)$/, /^kernel\/fs\/(overlayfs|fuse|squashfs|ext4|isofs|nls)/, /^kernel\/kernel\//, /^kernel\/drivers\/ptp\//,
]

/** The modules worth taking along, with all that they need. */
export function worthKeeping(dependencies: ModuleDependencies): Set<string> {
  const keep = new Set<string>()
  for (const [path, needed] of dependencies) if (useful.some((pattern) => pattern.test(path))) [path, ...needed].forEach((kept) => keep.add(kept))
  return keep
}
