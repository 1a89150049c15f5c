import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import { datapathOptions } from '../src/kernels/config-options.ts'

const kernel: CatalogueKernel = {
  name: '4.9',
  sources: [{ from: 'mirror' }, { from: 'mainline', version: '4.9.337' }],
  config: [...datapathOptions],
  agent: 'works',
  without: [
    { feature: 'LRU maps', since: '4.10' },
    { feature: 'LPM tries (CIDR policy, XDP prefilter)', since: '4.11' },
    { feature: 'generic XDP', since: '4.12' },
    { feature: 'object info by descriptor (bpftool)', since: '4.13' },
  ],
  note: 'the oldest line supported',
}

export default kernel
