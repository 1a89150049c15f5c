import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import { datapathOptions } from '../src/kernels/config-options.ts'

const kernel: CatalogueKernel = {
  name: '6.6',
  sources: [{ from: 'mirror' }, { from: 'mainline' }],
  config: [...datapathOptions, 'CONFIG_CGROUP_BPF'],
  agent: 'works',
}

export default kernel
