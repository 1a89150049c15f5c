import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { controlPlaneAvailable, startControlPlane, type ControlPlane } from '../testing/control-plane.ts'
import { Informer } from './informer.ts'
import type { KubeObject } from './types.ts'

describe.skipIf(!controlPlaneAvailable())('with a real API server', { timeout: 90_000 }, () => {
  let plane: ControlPlane
  beforeAll(async () => { plane = await startControlPlane() }, 90_000)
  afterAll(() => plane.stop())

  it('an object is deleted only while it is of the version that was seen', async () => {
    const client = plane.client(), path = '/api/v1/namespaces/default/configmaps'
    const made = await client.create<KubeObject>(path, { metadata: { name: 'versions' } })
    const changed = await client.mergePatch<KubeObject>(`${path}/versions`, { data: { a: 'b' } })
    expect(await client.deleteVersion(`${path}/versions`, made.metadata.resourceVersion!)).toBe(false)
    expect((await client.get<KubeObject>(`${path}/versions`)).metadata.resourceVersion).toBe(changed.metadata.resourceVersion)
    expect(await client.deleteVersion(`${path}/versions`, changed.metadata.resourceVersion!)).toBe(true)
    expect(await client.deleteVersion(`${path}/versions`, changed.metadata.resourceVersion!)).toBe(false)
    client.close()
  })

  it('a watch holds out while more comes than can be looked at: the server would drop it, without a word for services', async () => {
    const count = 400
    const informer = new Informer<KubeObject>({ path: '/api/v1/services' })
    const client = plane.client()
    const running = informer.run(client, { warning: (message: string) => expect.fail(message) } as never)
    await informer.ready
    // As slow as an emulated node.
    informer.onChange(() => { for (const until = Date.now() + 12; Date.now() < until;); })
    const maker = spawn(process.execPath, [join(import.meta.dirname, '../testing/make-services.ts'), plane.server, join(plane.dir, 'ca.crt'), join(plane.dir, 'admin-token'), String(count)], { stdio: 'inherit' })
    expect(await once(maker, 'exit')).toEqual([0, null])
    await expect.poll(() => informer.list().filter(({ metadata }) => metadata.name.startsWith('service-')).length, { timeout: 30_000 }).toBe(count)
    informer.stop()
    await running
    client.close()
  })
})
