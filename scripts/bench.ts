// npm run bench -- boot|restore|wire|monitor: kernelbed side by side with what one would pick instead.
import { bench } from '../src/run/bench.ts'
import { main } from '../src/run/main.ts'

await main(() => bench(process.argv.slice(2)))
