import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { CommandError, runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { mke2fs, rootScript } from '../image/disk.ts'
import type { GuestImage, ImageTar } from '../image/types.ts'

/** Room for containers' own writes on top of the images; the file is sparse. */
const diskMegabytes = 8 * 1024
const inodes = 131_072

/**
 * A disk with container images for `MachineSpec.imagesDisk`, made once for the same images. It holds containerd's state folder with the images
 * already unpacked, because an emulated guest takes long to unpack them: the guest's own containerd runs here for a moment, in a mount
 * namespace, and imports them. Where that is not allowed the disk holds the tars, which joinNode imports in the guest.
 */
export async function makeImagesDisk(images: readonly ImageTar[], guest: GuestImage, ctx: Context): Promise<string> {
  const key = `containers-${sha256('2', guest.digest, String(diskMegabytes), ...images.flatMap(({ ref, digest }) => [ref, digest])).slice(0, 16)}`
  const dir = await cached(ctx, 'images', key, (entry) => inStep(ctx.progress, 'container images', async (step) => {
    const root = join(entry, 'root')
    mkdirSync(root)
    try {
      await importImages(images, guest, entry, join(root, 'containerd'), ctx)
    } catch (error) {
      if (ctx.signal.aborted || !(error instanceof CommandError)) throw error
      step.update(`the guests will unpack them: ${error.message.split('\n')[0]}`)
      rmSync(join(root, 'containerd'), { recursive: true, force: true })
      copyTars(images, join(root, 'tars'))
    }
    await rootScript(mke2fs(root, join(entry, 'disk.raw'), diskMegabytes, inodes), ctx)
    rmSync(root, { recursive: true })
  }))
  return join(dir, 'disk.raw')
}

function copyTars(images: readonly ImageTar[], dir: string): void {
  mkdirSync(dir)
  images.forEach(({ path }, index) => copyFileSync(path, join(dir, `${index}.tar`)))
}

/** Runs the guest's containerd with its state in `root` and imports the images. Throws CommandError when this host does not allow it. */
async function importImages(images: readonly ImageTar[], guest: GuestImage, work: string, root: string, ctx: Context): Promise<void> {
  const bin = join(work, 'bin')
  mkdirSync(bin)
  for (const program of ['containerd', 'ctr']) await extract(guest.disk, `/usr/bin/${program}`, join(bin, program), ctx)
  // Without CAP_SYS_ADMIN, root of a user namespace of our own may mount what unpacking needs.
  const unshare = process.getuid?.() === 0 ? ['-m'] : ['-r', '-m']
  try {
    await runCommand('unshare', [...unshare, 'sh', '-ec', importScript(bin, root, images.map(({ path }) => path))], { signal: ctx.signal, timeoutMs: 10 * 60_000, cwd: bin })
  } finally {
    rmSync(bin, { recursive: true, force: true })
  }
}

/** The socket is relative: a path in the cache may be longer than a Unix socket's may be. */
export function importScript(bin: string, root: string, tars: readonly string[]): string {
  const config = `version = 2
root = ${JSON.stringify(root)}
state = ${JSON.stringify(join(bin, 'state'))}
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
address = "c.sock"
[ttrpc]
address = "t.sock"`
  return `cat > config.toml <<'END'
${config}
END
./containerd -c config.toml > log 2>&1 & pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true' EXIT
tries=0
until [ -S c.sock ]; do
  kill -0 $pid 2>/dev/null && [ $tries -lt 200 ] || { tail -n 5 log >&2; exit 1; }
  tries=$((tries + 1)); sleep 0.05
done
for tar in ${tars.map(shellQuote).join(' ')}; do ./ctr -a c.sock -n k8s.io images import --snapshotter overlayfs "$tar"; done`
}

/** Copies a file out of an ext4 disk without mounting it. */
async function extract(disk: string, from: string, to: string, ctx: Context): Promise<void> {
  await runCommand('debugfs', ['-R', `dump ${from} ${to}`, disk], { signal: ctx.signal, timeoutMs: 60_000 })
  await runCommand('chmod', ['755', to], { signal: ctx.signal, blame: 'host', hint: `the guest image has no ${from}` }).catch((cause: unknown) => {
    throw new KernelbedError(`the guest image ${disk} has no ${from}`, { blame: 'host', hint: 'remove it from the cache and run again', cause })
  })
}
