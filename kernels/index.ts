import type { CatalogueKernel } from '../src/kernels/catalogue.ts'
import v4_4 from './4.4.ts'
import v4_9 from './4.9.ts'
import v4_14 from './4.14.ts'
import v4_19 from './4.19.ts'
import v5_4 from './5.4.ts'
import v5_10 from './5.10.ts'
import v5_15 from './5.15.ts'
import v6_1 from './6.1.ts'
import v6_6 from './6.6.ts'
import v6_12 from './6.12.ts'
import newest from './newest.ts'

/** Every kernel line, oldest first. */
export const kernels: readonly CatalogueKernel[] = [v4_4, v4_9, v4_14, v4_19, v5_4, v5_10, v5_15, v6_1, v6_6, v6_12, newest]
