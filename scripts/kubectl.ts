// npm run kubectl -- get pods -A: kubectl of, and for, the cluster left up by --keep.
import { main } from '../src/run/main.ts'
import { kubectl } from '../src/run/debug.ts'

await main(() => kubectl(process.argv.slice(2)))
