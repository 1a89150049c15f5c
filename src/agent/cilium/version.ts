import { atLeast as isAtLeast } from '../../core/versions.ts'

/** A version of Cilium; of a build between releases the one it comes after. */
export interface CiliumVersion { /** `1.15.0-rc.1`, without a v. */ readonly text: string }

/**
 * `v1.2.5`, `1.2.5`, `v1.15.0-rc.1`, and what `cilium version` prints (`Client: 1.2.5 e5bdbb7 2018-10-22T… go version …`). Undefined where there is no version in it: `latest`.
 */
export function parseVersion(text: string): CiliumVersion | undefined {
  const found = /(?:^|[^\d.a-z])v?(\d+\.\d+(?:\.\d+)?(?:-[\w.]+)?)/i.exec(` ${text}`)
  return found ? { text: found[1]! } : undefined
}

/** What runs, of `cilium version`: the daemon's line where there is one, as the client may be another. */
export const parseVersionOutput = (text: string): CiliumVersion | undefined => parseVersion(/^Daemon:\s*(.*)$/m.exec(text)?.[1] ?? /^Client:\s*(.*)$/m.exec(text)?.[1] ?? text)

/** Whether a version is `1.14` or later. */
export const atLeast = ({ text }: CiliumVersion, wanted: `${number}.${number}`): boolean => isAtLeast(text, wanted)
