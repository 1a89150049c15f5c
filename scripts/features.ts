import { features } from '../src/run/features.ts'
import { main } from '../src/run/main.ts'

await main(features)
