import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import { datapathOptions } from '../src/kernels/config-options.ts'

const kernel: CatalogueKernel = {
  name: '4.9',
  sources: [{ from: 'mirror' }, { from: 'mainline', version: '4.9.337' }],
  config: [...datapathOptions],
  agent: 'works',
  without: ['map:lru_hash', 'map:lpm_trie', 'attach:xdp-generic', 'cmd:obj-get-info'],
  note: 'the oldest line supported',
}

export default kernel
