import { columns } from '../../core/columns.ts'
import { duration, plural } from '../html/format.ts'
import { fenced, inline } from '../markdown.ts'
import type { CaughtBy, JudgedFault } from './types.ts'

const mark: Readonly<Record<JudgedFault['verdict'], string>> = { caught: '✓ caught', survived: '✗ survived', crashed: '! not told', 'not run': '– not run' }

/** `policy: 3 tests, connectivity: 1 test (waited in vain); not by tunnels`. */
export function byText({ caught, missed, why }: Pick<JudgedFault, 'caught' | 'missed' | 'why'>): string {
  const suites = caught.map(suiteText).join(', ')
  return [suites, why, caught.length && missed.length ? `not by ${missed.join(', ')}` : ''].filter(Boolean).join('; ')
}

const suiteText = ({ suite, tests }: CaughtBy): string => `${suite}: ${plural(tests.length, 'test')}${tests.every(({ waited }) => waited) ? ' (waited in vain)' : ''}`

/** `29 of 30 faults caught, 1 not run`. */
export function verdictOf(faults: readonly JudgedFault[]): string {
  const count = (verdict: JudgedFault['verdict']): number => faults.filter((fault) => fault.verdict === verdict).length
  const ran = faults.length - count('not run')
  return [`${count('caught')} of ${plural(ran, 'fault')} caught`, ...(['survived', 'crashed', 'not run'] as const).flatMap((verdict) => (count(verdict) ? [`${count(verdict)} ${verdict === 'crashed' ? 'not told' : verdict}`] : []))].join(', ')
}

const rows = (faults: readonly JudgedFault[]): string[][] => faults.map((fault) => [fault.name, mark[fault.verdict], byText(fault), fault.result ? duration(fault.result.ms) : ''])

/** What a person reads at the end: a line a fault, then the tests that caught each, then how to look further. */
export function mutantsText(faults: readonly JudgedFault[], dir: string, ms: number): string {
  const table = columns([['fault', 'verdict', 'by', 'time'], ...rows(faults)])
  const told = faults.filter(({ caught }) => caught.length > 0).map(({ name, does, caught }) => [`${name}: ${does}`, ...caught.flatMap(({ suite, tests }) => tests.map((test) => `  ${suite}: ${test.name}\n      ${test.message.split('\n')[0]}`))].join('\n'))
  const open = faults.filter(({ verdict }) => verdict === 'survived' || verdict === 'crashed').map(({ name, folder = '', result }) => `  ${name}: ${dir}/${folder}\n    repeat it: ${result?.command ?? ''}`)
  return `\n${[table.join('\n'), ...told, ...(open.length ? [`to look further:\n${open.join('\n')}`] : []), `report: ${dir}/report.html`, `${verdictOf(faults)} in ${duration(ms)}`].join('\n\n')}\n`
}

/** As GitHub's Markdown. */
export function mutantsMarkdown(faults: readonly JudgedFault[]): string {
  const table = [['fault', 'verdict', 'by', 'time'], ['---', '---', '---', '--:'], ...rows(faults).map((row) => row.map(inline))].map((row) => `| ${row.join(' | ')} |`).join('\n')
  const details = faults.filter(({ verdict }) => verdict !== 'not run').map(({ name, does, caught, why, result }) => {
    const text = caught.flatMap(({ suite, tests }) => tests.map((test) => `${suite}: ${test.name}\n${test.message}`)).join('\n\n')
    return `<details><summary>${inline(`${name}: ${does}`)}</summary>\n\n${fenced(text || (why ?? ''))}\n\nRepeat it:\n\n${fenced(result?.command ?? '')}\n\n</details>\n`
  })
  return `## kernelbed mutants: ${verdictOf(faults)}\n\n${table}\n\n${details.join('\n')}`
}
