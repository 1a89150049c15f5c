import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { gzipSync } from 'node:zlib'
import { extract, pack } from 'tar-stream'

/** Image tars that stand in for those of a Cilium: as `docker save` writes them (writeImageTar), and the same as an OCI layout, as `skopeo copy … oci-archive:` does, with compressed layers. */

interface DockerManifest { readonly Config: string; readonly Layers: readonly string[] }

async function membersOf(tar: string): Promise<Map<string, Buffer>> {
  const members = new Map<string, Buffer>()
  for await (const entry of createReadStream(tar).pipe(extract())) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    members.set(entry.header.name, Buffer.concat(chunks))
  }
  return members
}

/** Writes the image of a tar of docker save as an OCI layout that calls it `ref`; containerd imports both alike. */
export async function writeOciLayout(dockerTar: string, ref: string, outFile: string): Promise<void> {
  const members = await membersOf(dockerTar)
  const [{ Config, Layers }] = JSON.parse(members.get('manifest.json')!.toString()) as [DockerManifest]
  const blobs = new Map<string, Buffer>()
  const blob = (mediaType: string, content: Buffer): object => {
    const digest = createHash('sha256').update(content).digest('hex')
    blobs.set(`blobs/sha256/${digest}`, content)
    return { mediaType, digest: `sha256:${digest}`, size: content.length }
  }
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value))
  const config = blob('application/vnd.oci.image.config.v1+json', members.get(Config)!)
  const layers = Layers.map((layer) => blob('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(members.get(layer)!, { level: 1 })))
  const manifest = blob('application/vnd.oci.image.manifest.v1+json', json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers }))
  const index = json({ schemaVersion: 2, manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': ref } }] })
  const tar = pack()
  const written = pipeline(tar, createWriteStream(outFile))
  for (const [name, content] of [['oci-layout', json({ imageLayoutVersion: '1.0.0' })], ['index.json', index], ...blobs] as [string, Buffer][]) {
    await new Promise<void>((resolve, reject) => tar.entry({ name }, content, (error) => (error ? reject(error) : resolve())))
  }
  tar.finalize()
  await written
}
