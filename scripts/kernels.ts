// npm run kernels [-- fetch 5.10]: which kernels there are, and getting them.
import { kernels } from '../src/run/kernels.ts'
import { main } from '../src/run/main.ts'

await main(() => kernels(process.argv.slice(2)))
