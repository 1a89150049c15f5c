import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '6.6',
  source: { from: 'file' },
  agent: 'works',
}

export default kernel
