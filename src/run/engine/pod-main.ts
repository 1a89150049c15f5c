/** Entry of the pod of a cell (pod.ts). */
import { main } from '../main.ts'
import { cellCommand } from './local.ts'
import { runPod } from './pod.ts'

await main(() => runPod(cellCommand))
