/** Kubernetes programs on this host. */
export interface Kubernetes {
  /** e.g. `v1.20.2` as the binaries print it. */
  readonly version: string
  /** Folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kubectl, etcd. */
  readonly bin: string
  readonly digest: string
}

/** The guest's disk, shared by all machines through overlays. */
export interface GuestImage {
  /** Raw ext4 file system, never written after it is made. */
  readonly disk: string
  readonly digest: string
}

/** What a given kernel needs beside the guest image to boot. */
export interface BootFiles {
  /** initramfs that loads the virtio modules and mounts /dev/vda; absent for kernels without modules (they boot root=/dev/vda). */
  readonly initramfs?: string
  /** The same for a disk that boots by itself on another machine than QEMU's (VirtualBox); absent, too, where the kernel has no driver for its disks. */
  readonly diskInitramfs?: string
  /** ext4 disk with /lib/modules content; absent for kernels without modules. */
  readonly modulesDisk?: string
}

/** A container image as a docker-archive/OCI tar that `ctr images import` takes. */
export interface ImageTar {
  /** Full reference, e.g. `kernelbed.local/lash:dev`. */
  readonly ref: string
  readonly path: string
  readonly digest: string
}
