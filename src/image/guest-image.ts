import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { cached, sha256, sha256File } from '../core/cache.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { mke2fs, rootScript } from './disk.ts'
import { ensureRootfs } from './rootfs.ts'
import type { GuestImage, Kubernetes } from './types.ts'

const guestFiles = join(import.meta.dirname, 'guest')
/** Room for container images and logs; the file is sparse, so only what is used takes space. */
const diskMegabytes = 6 * 1024
const inodes = 131_072

/** Puts our files ($files) and kubelet ($kubelet) into the root in the current folder. */
const install = `
install -m 755 "$files/kernelbed-init" "$files/kernelbed-late" "$files/shutdown" usr/sbin/
install -D -m 644 "$files/inittab" etc/inittab
install -D -m 644 "$files/modules" etc/kernelbed/modules
install -m 755 "$kubelet" usr/bin/kubelet
rm -rf dev run tmp
mkdir -p opt/cni etc/cni/net.d etc/kubernetes/manifests var/log/pods var/log/containers var/cache usr/lib/modules dev proc sys run tmp
ln -sfn /usr/lib/cni opt/cni/bin
: > etc/resolv.conf
{ printf '127.0.0.1 localhost\\n::1 localhost\\n'; for i in 1 2 3 4 5 6 7 8 9; do printf '192.168.77.%d node%d\\n' $((10 + i)) $i; done; } > etc/hosts
printf 'kernelbed\\n' > etc/hostname
chmod 700 root
`

/**
 * The guest's disk: Debian bookworm, this Kubernetes' kubelet and our init in one raw ext4 file system without partitions, which 4.4 can mount. Made once;
 * machines boot from overlays on it. Throws KernelbedError.
 */
export async function ensureGuestImage(kubernetes: Kubernetes, ctx: Context): Promise<GuestImage> {
  const tar = await ensureRootfs(ctx)
  const kubelet = join(kubernetes.bin, 'kubelet')
  const ours = readdirSync(guestFiles).filter((name) => !name.endsWith('.c')).sort().map((name) => readFileSync(join(guestFiles, name), 'latin1'))
  const digest = sha256('2', basename(dirname(tar)), await sha256File(kubelet), install, mke2fs('', '', diskMegabytes, inodes), ...ours)
  const entry = await cached(ctx, 'images', `guest-${digest.slice(0, 16)}`, (dir) =>
    inStep(ctx.progress, 'guest disk', async () => {
      const root = join(dir, 'root')
      mkdirSync(root)
      await rootScript(`cd ${shellQuote(root)}; tar -xpf ${shellQuote(tar)}; files=${shellQuote(guestFiles)}; kubelet=${shellQuote(kubelet)}${install}${mke2fs(root, join(dir, 'disk.raw'), diskMegabytes, inodes)}`, ctx)
      rmSync(root, { recursive: true })
    }))
  return { disk: join(entry, 'disk.raw'), digest }
}
