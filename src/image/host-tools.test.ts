import { describe, expect, it } from 'vitest'
import { checkHostTools, installCommand, searchPath } from './host-tools.ts'

describe('missing tools', () => {
  it('are installed by one command that names each package once', () => {
    const missing = [{ tool: 'clang', package: 'clang' }, { tool: 'gcc', package: 'gcc' }, { tool: 'cc', package: 'gcc' }]
    expect(installCommand(missing)).toBe('apt-get update && apt-get install -y --no-install-recommends clang gcc')
  })

  it('are looked for in the sbin folders too, which a user\'s PATH lacks', () => {
    expect(searchPath().split(':')).toEqual(expect.arrayContaining(['/usr/sbin', '/sbin']))
    const before = process.env['PATH']
    process.env['PATH'] = '/usr/bin:/bin'
    try {
      expect(checkHostTools().map(({ tool }) => tool)).not.toContain('mke2fs')
    } finally {
      process.env['PATH'] = before
    }
  })
})
