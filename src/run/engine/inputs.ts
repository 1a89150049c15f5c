import { statSync } from 'node:fs'
import { basename } from 'node:path'
import { usageError } from '../../core/errors.ts'
import { checkKernelSpec, type KernelOptions } from '../../kernels/index.ts'
import { argsOf } from '../command-line.ts'
import type { PlannedCell } from '../matrix-plan.ts'
import type { E2eOptions } from '../options.ts'
import { podInputs } from './pod-places.ts'

/** A file of this host that a cell needs, and where it is put in the pod. */
export interface InputFile { readonly from: string; readonly to: string }

/** What a pod is asked to run: arguments of `npm run e2e`, and the files that they name. */
export interface PodCommand { readonly args: readonly string[]; readonly files: readonly InputFile[] }

/** A cell's command as it is in the pod. Throws a usage error for what is a folder of this host: files are sent, folders are not. */
export function podCommand(cell: PlannedCell, options: E2eOptions): PodCommand {
  const files: InputFile[] = []
  const send = (folder: number, from: string, name = basename(from)): string => {
    const to = `${podInputs}/${folder}/${name}`
    files.push({ from, to })
    return to
  }
  const kernelOptions = options.modules === undefined ? {} : { modules: options.modules }
  const specs = options.mixed ?? [cell.kernel]
  const sent = specs.map((spec, folder) => (specs.indexOf(spec) < folder ? undefined : sentKernel(spec, kernelOptions, (from, name) => send(folder, from, name))))
  const kernels = specs.map((spec) => sent[specs.indexOf(spec)]!)
  if (options.kubernetes !== undefined && !/^v?\d/.test(options.kubernetes)) throw usageError(`--kubernetes ${options.kubernetes} is a folder of this host, which a pod has not`, 'give a release (v1.29.3)')
  const { modules: _modules, ...rest } = options
  const agentGiven = options.agentGiven && sentAgent(options.agentGiven, (from, folder) => send(folder, from))
  if (options.agent.includes('/')) throw usageError(`--agent ${options.agent} is a program of this host, and may import others`, 'make the image of the cells in a clone of the project that has it (npm run engine-image), as a driver in src/agent/')
  return { args: argsOf(kernels.join(','), { ...rest, ...(agentGiven ? { agentGiven } : {}) }), files }
}

/** Manifests and images of an agent, in folders of their own: their names may be alike. */
function sentAgent(given: NonNullable<E2eOptions['agentGiven']>, send: (from: string, folder: number) => string): NonNullable<E2eOptions['agentGiven']> {
  let folder = firstAgentFolder
  const sent = (path: string): string => {
    if (/^https?:/.test(path)) return path
    if (statSync(path).isDirectory()) throw usageError(`--agent-manifests ${path} is a folder of this host, which a pod has not`, 'give its files, or one file with all of it')
    return send(path, folder++)
  }
  return { ...given, ...(given.manifests ? { manifests: given.manifests.map(sent) } : {}), ...(given.images ? { images: given.images.map(sent) } : {}) }
}

/** After those of kernels, of which there is one a machine. */
const firstAgentFolder = 100

/** A kernel as the pod names it. Packages of modules are listed with that of the image. */
function sentKernel(spec: string, options: KernelOptions, send: (from: string, name?: string) => string): string {
  const checked = checkKernelSpec(spec, options)
  if (checked.kind === 'catalogue') return spec
  if (checked.kind === 'debs') return `${checked.name === undefined ? '' : `${checked.name}=`}${checked.files.map((file) => send(file)).join(':')}`
  if (checked.kind === 'tree' || checked.modules !== undefined) throw usageError(`--kernel ${spec} comes with folders of this host, which a pod has not`, 'give it as packages (make bindeb-pkg): --kernel name=./linux-image-….deb')
  if (checked.config !== undefined) send(checked.config, 'config')
  return `${checked.name}=${send(checked.path)}`
}
