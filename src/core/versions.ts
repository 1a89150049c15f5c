/** Leading numbers of a release: `4.14.67-generic` has 4, 14, 67. What begins with none (`newest`) is later than any. */
const numbersOf = (release: string): number[] => (/^\d+(\.\d+)*/.exec(release)?.[0] ?? 'Infinity').split('.').map(Number)

/** Orders releases by their numbers: 4.9.99 before 4.9.154 before 4.14; a missing number is 0. Below 0 when `a` comes first, 0 when neither does. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)]
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [x, y] = [left[i] ?? 0, right[i] ?? 0]
    if (x !== y) return x < y ? -1 : 1
  }
  return 0
}

/** Whether a release (`4.4.178-generic`) or line (`4.14`, `newest`) is of a version or after it; further numbers than the version has don't count. */
export const atLeast = (release: string, version: string): boolean => compareVersions(release, version) >= 0
