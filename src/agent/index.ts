/** The agent under test: how it is installed, and how it is reached. */
export { fatalLines, type AgentDriver, type AgentOptions, type Capability, type StartedAgent } from './driver.ts'
export { driverNames, findDriver } from './drivers.ts'
export { attachAgent, type Agent, type AgentPod } from './attach.ts'
export type { AgentHandle, RunHandle } from './types.ts'
