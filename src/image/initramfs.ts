import { cpio, fileMode, type CpioEntry } from './cpio.ts'

/** Debian's static busybox runs its own applets without a PATH, by way of /proc/self/exe, so the archive needs no links. */
const init = (modules: readonly string[]): string => `#!/bin/busybox sh
/bin/busybox mount -t proc -o nosuid,nodev,noexec proc /proc
[ -c /dev/null ] || mount -t devtmpfs -o nosuid,mode=0755 dev /dev
echo "kernelbed: initramfs" >/dev/console
for module in ${modules.join(' ')}; do
  insmod "/modules/$module" || echo "kernelbed: insmod $module failed" >/dev/console
done
disk=/dev/vda
read -r cmdline </proc/cmdline
for word in $cmdline; do
  case $word in root=/dev/*) disk=\${word#root=} ;; esac
done
tries=0
while ! [ -b "$disk" ] && [ $tries -lt 100 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
mount -t ext4 -o noatime "$disk" /root || echo "kernelbed: no root disk: $(ls /dev | tr '\\n' ' ')" >/dev/console
mount -o move /dev /root/dev
mount -o move /proc /root/proc
exec /bin/busybox switch_root /root /sbin/kernelbed-init
`

/** An initramfs whose /init inserts the modules in the order given, mounts the disk of the command line's `root=` (/dev/vda) and goes on with the guest's own init. */
export function initramfs(busybox: Buffer, modules: readonly { readonly name: string; readonly content: Buffer }[]): Buffer {
  const folder = (path: string): CpioEntry => ({ path, mode: fileMode.folder | 0o755 })
  return cpio([
    ...['bin', 'dev', 'modules', 'proc', 'root'].map(folder),
    { path: 'dev/console', mode: fileMode.charDevice | 0o600, device: [5, 1] },
    { path: 'bin/busybox', mode: fileMode.file | 0o755, content: busybox },
    { path: 'init', mode: fileMode.file | 0o755, content: Buffer.from(init(modules.map((module) => module.name))) },
    ...modules.map(({ name, content }) => ({ path: `modules/${name}`, mode: fileMode.file | 0o644, content })),
  ])
}
