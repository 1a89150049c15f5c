/** The pod of a cell without machines: the real one, whose cell is testing/fake-cell.ts. Argument before those of `npm run e2e`: a folder to meet other cells in. */
import { join } from 'node:path'
import { main } from '../../main.ts'
import { runPod } from '../pod.ts'

const [meeting = ''] = process.argv.splice(2, 1)
await main(() => runPod((job) => [process.execPath, join(import.meta.dirname, '../../testing/fake-cell.ts'), JSON.stringify(job), meeting]))
