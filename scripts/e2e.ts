// npm run e2e -- --kernel 6.1: the main job.
import { main } from '../src/run/main.ts'
import { e2e } from '../src/run/e2e.ts'

await main(() => e2e(process.argv.slice(2)))
