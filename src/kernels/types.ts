/** A kernel that is on this machine and ready to boot. */
export interface Kernel {
  /** What the user called it: a catalogue line (`6.1`) or a name of one's own (`mine`). Shown everywhere. */
  readonly name: string
  /** The kernel's own release, as `uname -r` will print it, e.g. `6.1.0-40-cloud-amd64`; read from the image itself. */
  readonly release: string
  /** First two numbers of the release, e.g. `6.1`. */
  readonly line: string
  /** Path of what QEMU's -kernel takes: a bzImage, or a vmlinux with a PVH entry. */
  readonly image: string
  /** Folder `…/lib/modules/<release>`, when the kernel has modules. */
  readonly modules?: string
  /** Path of the kernel's config, when it came with one. */
  readonly config?: string
  /** Options its config lacks of those its catalogue line (or the datapath) requires; absent when there is no config to look at. */
  readonly missing?: readonly string[]
  /** SHA-256 of image (and modules), hex; the cache key of what is made from it. */
  readonly digest: string
  /** Where it came from, for people: `Debian bookworm linux-image-…` or a path. */
  readonly source: string
}
