import type { CatalogueKernel } from '../src/kernels/catalogue.ts'

const kernel: CatalogueKernel = {
  name: '4.4',
  source: { from: 'file' },
  agent: 'refuses',
  note: 'no clsact (4.5) and no per-CPU array maps (4.6): the agent must say so and stop',
}

export default kernel
