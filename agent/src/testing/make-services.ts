/** `make-services.ts SERVER CA TOKEN-FILE COUNT`: makes so many services, sixteen at a time, in a process of its own. */
import { readFileSync } from 'node:fs'
import { KubeClient } from '../k8s/client.ts'

const [server = '', ca = '', tokenFile = '', count = '0'] = process.argv.slice(2)
const client = new KubeClient({ server, ca: readFileSync(ca, 'utf8'), tokenFile })
const names = Array.from({ length: Number(count) }, (_, i) => `service-${i}`)
await Promise.all(Array.from({ length: 16 }, async () => {
  for (let name = names.pop(); name !== undefined; name = names.pop()) await client.create('/api/v1/namespaces/default/services', { metadata: { name }, spec: { ports: [{ port: 80 }] } })
}))
client.close()
