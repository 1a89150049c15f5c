// npm run matrix [-- --json]: the jobs of the GitHub Actions workflow, one a kernel, from the catalogue.
import { main } from '../src/run/main.ts'
import { matrix } from '../src/run/github-matrix.ts'

await main(() => matrix(process.argv.slice(2)))
