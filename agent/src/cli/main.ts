import { answer } from './answer.ts'

/** `cilium`, in a process of its own. */
async function main(argv: string[]): Promise<void> {
  const { stdout, stderr, exitCode } = await answer(argv)
  process.stdout.write(stdout)
  process.stderr.write(stderr)
  process.exitCode = exitCode
}

void main(process.argv.slice(2))
