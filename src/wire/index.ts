/** The wire stage: a layer-2 switch between the machines, with captures and cuts. */
export { attachWire, readCapture, startWire } from './wire.ts'
export { decodeFrame } from './decode.ts'
export type { Capture, Frame, PortStats, StartedWire, Wire, WireHandle } from './types.ts'
