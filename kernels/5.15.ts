import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '5.15',
  source: { from: 'file' },
  agent: 'works',
}

export default kernel
