import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '4.19',
  source: { from: 'file' },
  agent: 'works',
}

export default kernel
