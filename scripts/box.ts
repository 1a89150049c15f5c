// npm run box -- --kernel 6.1: a Vagrant box of a kernel.
import { box } from '../src/run/box.ts'
import { main } from '../src/run/main.ts'

await main(() => box(process.argv.slice(2)))
