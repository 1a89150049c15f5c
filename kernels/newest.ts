import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: 'newest',
  source: { from: 'debian', suites: ['sid'], package: 'linux-image-cloud-amd64' },
  agent: 'works',
  note: 'whatever Debian sid has today',
}

export default kernel
