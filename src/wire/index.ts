/** The wire stage: a layer-2 switch between the machines, with captures and cuts; or, where the network is not ours, captures by the machines on it. */
export { attachWire, startWire } from './wire.ts'
export { readCapture } from './capture-follower.ts'
export { decodeFrame } from './decode.ts'
export { startGuestWire } from './guests.ts'
export type { Capture, Frame, PortStats, StartedWire, Wire, WireHandle } from './types.ts'
