// npm run down [-- <run id>]: removes clusters left up by --keep.
import { main } from '../src/run/main.ts'
import { down } from '../src/run/debug.ts'

await main(() => down(process.argv.slice(2)))
