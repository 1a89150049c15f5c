/**
 * Go's text/tabwriter with padding 3 and spaces, which every table of Cilium goes through. A cell ended by a tab belongs to a
 * column; a column is a run of adjacent lines that have that cell; the last, unended cell of a line is no column.
 */
export function tabulate(lines: string[], options: { minWidth?: number; padding?: number } = {}): string {
  const { minWidth = 5, padding = 3 } = options
  const rows = lines.map((line) => line.split('\t'))
  const out: string[] = rows.map(() => '')
  layOut(0, rows.length, 0)
  return out.map((line) => line + '\n').join('')

  function layOut(from: number, to: number, column: number): void {
    for (let row = from; row < to; row++) {
      if (!hasColumn(row, column)) {
        out[row] = out[row]! + (rows[row]![column] ?? '')
        continue
      }
      let end = row
      let width = minWidth
      while (end < to && hasColumn(end, column)) width = Math.max(width, rows[end++]![column]!.length + padding)
      for (let i = row; i < end; i++) out[i] = out[i]! + rows[i]![column]!.padEnd(width)
      layOut(row, end, column + 1)
      row = end - 1
    }
  }

  function hasColumn(row: number, column: number): boolean {
    return column < rows[row]!.length - 1
  }
}
