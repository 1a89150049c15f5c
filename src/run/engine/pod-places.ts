/** Where things are in the engine image (engine-image.ts) and in the pod of a cell. */

/** What the image is called unless `--engine-image` and `--ref` say otherwise. */
export const engineImageRef = 'kernelbed.local/engine:1'

/** The project's folder in the image. */
export const imageProject = '/opt/kernelbed'

/** Entries of the cache that come with the image: a sparse tar, and the list of what is in it. */
export const bakedCache = { tar: '/opt/kernelbed-cache.tar', list: '/opt/kernelbed-cache.json' } as const

/** Folders of the pod; `work` and `cache` are volumes. */
export const podFolders = { work: '/work', cache: '/cache' } as const

/** Environment variable of the pod: a PodTask as JSON. */
export const podTaskVariable = 'KERNELBED_POD'

/** The container of the pod. */
export const podContainer = 'cell'

/** Files of the runner's host are put here, each into a numbered folder; then the last one is made. */
export const podInputs = `${podFolders.work}/inputs`
export const inputsComplete = `${podInputs}/.complete`
