// npm run shell -- node1 [command…]: a shell in a machine of the cluster left up by --keep.
import { main } from '../src/run/main.ts'
import { shell } from '../src/run/debug.ts'

await main(() => shell(process.argv.slice(2)))
