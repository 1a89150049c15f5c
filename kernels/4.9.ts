import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '4.9',
  source: { from: 'file' },
  agent: 'works',
  note: 'the oldest line supported',
}

export default kernel
