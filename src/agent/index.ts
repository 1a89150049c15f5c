/** The agent under test: how it is installed, and how it is reached. */
export { fatalLines, type AgentDriver, type AgentOptions, type Capability, type StartedAgent } from './driver.ts'
export { driverNames, findDriver } from './drivers.ts'
export { attachAgent, type Agent, type AgentPod } from './attach.ts'
export { bypassKernelCheck, type Bypassed, type Ended } from './bypass.ts'
export { expectedMissing, missingOf, refusalLines, type Bypass, type Missing, type Need, type Refusal, type RefusalLine } from './refusal.ts'
export { podLog } from './pods.ts'
export { waitSettled, type Settled } from './settled.ts'
export type { AgentHandle, RunHandle } from './types.ts'
