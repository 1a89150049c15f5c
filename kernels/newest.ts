import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import { datapathOptions } from '../src/kernels/config-options.ts'

const kernel: CatalogueKernel = {
  name: 'newest',
  sources: [{ from: 'debian', suites: ['sid'], package: 'linux-image-cloud-amd64' }],
  config: [...datapathOptions, 'CONFIG_CGROUP_BPF'],
  agent: 'works',
  note: 'whatever Debian sid has today',
}

export default kernel
