// npm run features -- 4.9=./bzImage 6.1: what kernels can do, by probes in a machine on each.
import { main } from '../src/run/main.ts'
import { features } from '../src/run/features.ts'

await main(() => features(process.argv.slice(2)))
