import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '5.10',
  source: { from: 'debian', suites: ['bullseye'], package: 'linux-image-cloud-amd64' },
  agent: 'works',
}

export default kernel
