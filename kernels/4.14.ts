import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '4.14',
  source: { from: 'file' },
  agent: 'works',
}

export default kernel
