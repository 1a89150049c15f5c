// npm run bisect -- --good IMAGE --bad IMAGE IMAGE…: the first kernel of a list on which the suites fail.
import { bisect } from '../src/run/bisect.ts'
import { main } from '../src/run/main.ts'

await main(() => bisect(process.argv.slice(2)))
