/** Machines made by Vagrant (docs/vagrant.md). */
export { sessionDaemon, sessionIn } from './libvirt.ts'
export { planMachines, type VagrantPlan, type VagrantSpec } from './plan.ts'
export { upVagrant, type VagrantMachineSpec } from './up.ts'
