/** Run by the reaper of a runner that was killed: removes the Job of a cell. Arguments: kubeconfig, namespace, name. */
import { main } from '../main.ts'
import { openAccess } from './access.ts'
import { removeJobOfDead } from './remove-job.ts'

await main(async () => {
  const [kubeconfig = '', namespace = '', name = ''] = process.argv.slice(2)
  await removeJobOfDead(openAccess({ kubeconfig, namespace }), name)
  return 0
})
