import { expect, it } from 'vitest'
import { tabulate } from './tabwriter.ts'

it('pads ended cells and leaves the last one as it is', () => {
  expect(tabulate(['ID\tLABELS', '1\treserved:host', '31540\tx'])).toBe('ID      LABELS\n1       reserved:host\n31540   x\n')
})

it('starts a column anew after a line that lacks it', () => {
  expect(tabulate(['a\tlonglong\tb\t', 'c\td', 'e\tf\tg\t'])).toBe('a    longlong   b    \nc    d\ne    f    g    \n')
})
