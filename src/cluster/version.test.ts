import { expect, it } from 'vitest'
import { minorOf } from './version.ts'

it.each([['v1.20.2', 20], ['v1.29.3', 29], ['1.31.0', 31], ['v1.20.5-rc.1', 20]])('the minor version of %s is %d', (version, minor) => expect(minorOf(version)).toBe(minor))
it('says what it expected when it is no version', () => expect(() => minorOf('latest')).toThrow('cannot tell the Kubernetes version from "latest"'))
