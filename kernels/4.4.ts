import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import { datapathOptions } from '../src/kernels/config-options.ts'

const kernel: CatalogueKernel = {
  name: '4.4',
  sources: [{ from: 'mirror' }, { from: 'mainline', version: '4.4.302' }],
  config: [...datapathOptions],
  agent: 'refuses',
  note: 'no clsact (4.5) and no per-CPU array maps (4.6): the agent must say so and stop',
}

export default kernel
