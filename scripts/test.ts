// npm test: lint, types, unit tests, and end-to-end runs on one Debian kernel.
import { check } from '../src/run/check.ts'
import { main } from '../src/run/main.ts'

await main(check)
