/** Machines made by Vagrant (docs/vagrant.md). */
export { assertLibvirt, sessionDaemon, sessionIn } from './libvirt.ts'
export { assertVirtualBox } from './command.ts'
export { planMachines, planVirtualBox, type VagrantPlan, type VagrantSpec, type VirtualBoxPlan } from './plan.ts'
export { upVagrant, type VagrantMachineSpec } from './up.ts'
