// npm run mutants: the agent with each of its seeded faults, and which suite caught it.
import { main } from '../src/run/main.ts'
import { mutants } from '../src/run/mutants.ts'

await main(() => mutants(process.argv.slice(2)))
