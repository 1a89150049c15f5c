/** What is known of how an agent refuses a kernel that is too old for it, and reading it from its log. */
import { atLeast } from '../core/versions.ts'

/** An agent's way to refuse. Absent in a driver whose agent does not look at the kernel. */
export interface Refusal {
  /** The log line that it ends with; group `running` is the version that it says is running, `minimal` the oldest that it wants. */
  readonly fatal: RegExp
  readonly minimal: string
  readonly exitCode: number
  /** Absent when the agent cannot be told to go on. */
  readonly bypass?: Bypass
}

/** How an agent is told to go on on such a kernel, and what it says then. */
export interface Bypass {
  /** Arguments that its container gets beside its own. */
  readonly args: readonly string[]
  /** A log line of a thing that the kernel lacks, by the loader: groups `feature`, `answer` (the kernel's own) and `since` (the version that brought it). */
  readonly missing: RegExp
  readonly exitCode: number
  /** What the agent needs that came after the oldest kernel there is (4.4), each by its `feature` in the log and the version that brought it. */
  readonly needs: readonly Need[]
}

export interface Need { readonly feature: string; readonly since: string }

/** A thing that the kernel lacks, as the agent's log has it. */
export interface Missing extends Need { readonly answer: string; readonly line: string }

/** A line of the agent's that refuses the kernel. */
export interface RefusalLine { readonly line: string; readonly running: string; readonly minimal: string }

const lines = (log: string): string[] => log.split('\n').map((line) => line.trimEnd()).filter((line) => line !== '')

/** The lines of a log that refuse the kernel. */
export const refusalLines = (log: string, { fatal }: Refusal): RefusalLine[] => lines(log).flatMap((line) => {
  const groups = fatal.exec(line)?.groups
  return groups ? [{ line, running: groups['running'] ?? '', minimal: groups['minimal'] ?? '' }] : []
})

/** The things that a log says the kernel lacks, in its order. */
export const missingOf = (log: string, { missing }: Bypass): Missing[] => lines(log).flatMap((line) => {
  const groups = missing.exec(line)?.groups
  return groups ? [{ line, feature: groups['feature'] ?? '', answer: groups['answer'] ?? '', since: groups['since'] ?? '' }] : []
})

/** Of what the agent needs, what a kernel of this release cannot have yet. */
export const expectedMissing = ({ needs }: Bypass, release: string): Need[] => needs.filter(({ since }) => !atLeast(release, since))
