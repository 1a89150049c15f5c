/** Lines as Go's hex.Dump prints them: `00000000  66 6f 6f …  … |foo…|`. */
export function hexDump(data: Buffer): string[] {
  const lines: string[] = []
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.subarray(at, at + 16)]
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0'))
    const columns = `${hex.slice(0, 8).join(' ').padEnd(23)}  ${hex.slice(8).join(' ').padEnd(23)}`
    const ascii = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(8, '0')}  ${columns}  |${ascii}|`)
  }
  return lines
}
