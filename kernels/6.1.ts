import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '6.1',
  source: { from: 'debian', suites: ['bookworm'], package: 'linux-image-cloud-amd64' },
  agent: 'works',
}

export default kernel
