import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '6.12',
  source: { from: 'debian', suites: ['trixie', 'bookworm-backports'], package: 'linux-image-cloud-amd64' },
  agent: 'works',
}

export default kernel
