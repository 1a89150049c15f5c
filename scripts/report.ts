// npm run report -- DIR…: merges the results of runs into one HTML page.
import { main } from '../src/run/main.ts'
import { report } from '../src/run/report.ts'

await main(() => report(process.argv.slice(2)))
