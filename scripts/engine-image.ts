// npm run engine-image -- --out FILE.tar: the container image for --engine kubernetes.
import { engineImage } from '../src/run/engine-image.ts'
import { main } from '../src/run/main.ts'

await main(() => engineImage(process.argv.slice(2)))
