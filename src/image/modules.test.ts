import { describe, expect, it } from 'vitest'
import { insertionOrder, moduleName, parseModulesDep, worthKeeping } from './modules.ts'

const dependencies = parseModulesDep(`kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/gpu/drm/drm.ko:
kernel/net/odd/odd.ko: kernel/drivers/far/away.ko
kernel/drivers/far/away.ko:
`)

describe('modules', () => {
  it('are inserted after what they need, each once', () => {
    const order = insertionOrder(['virtio_net', 'virtio_rng'], dependencies).map(moduleName)
    expect(order).toEqual(['virtio_ring', 'virtio', 'failover', 'net_failover', 'virtio_net', 'virtio_rng'])
  })

  it('that are built in are left out', () => {
    expect(insertionOrder(['ext4', 'virtio_ring'], dependencies).map(moduleName)).toEqual(['virtio_ring'])
  })

  it('have the name that lsmod prints', () => {
    expect(moduleName('kernel/drivers/char/hw_random/virtio-rng.ko.xz')).toBe('virtio_rng')
  })

  it('worth keeping are those for networks and containers, with what they need wherever it lies', () => {
    const kept = [...worthKeeping(dependencies)].map(moduleName)
    expect(kept).toContain('away')
    expect(kept).not.toContain('drm')
  })
})
