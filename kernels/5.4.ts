import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import { datapathOptions } from '../src/kernels/config-options.ts'

const kernel: CatalogueKernel = {
  name: '5.4',
  sources: [{ from: 'mirror' }, { from: 'mainline', version: '5.4.302' }],
  config: [...datapathOptions, 'CONFIG_CGROUP_BPF'],
  agent: 'works',
}

export default kernel
