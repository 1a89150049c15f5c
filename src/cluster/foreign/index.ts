/** Clusters that somebody else made: what is asked of them, made in them, and removed. */
export { assertAccess, missingPermissions, neededPermissions, type Permission } from './access.ts'
export { apiMessage, serverVersion } from './connect.ts'
export { lacksDualStack } from './dual-stack.ts'
export { readKubeconfig, writeContext, type KubeContext } from './kubeconfig.ts'
export { claimNamespaces, createNamespace, labelsOf, othersNamespaces } from './namespaces.ts'
export { startNodePods, type NodePods } from './node-pods.ts'
export { chooseNodes, type ChosenNodes, type SeenNode } from './nodes.ts'
