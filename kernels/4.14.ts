import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import { datapathOptions } from '../src/kernels/config-options.ts'

const kernel: CatalogueKernel = {
  name: '4.14',
  sources: [{ from: 'mirror' }, { from: 'mainline', version: '4.14.336' }],
  config: [...datapathOptions, 'CONFIG_CGROUP_BPF'],
  agent: 'works',
}

export default kernel
