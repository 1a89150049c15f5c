/** A virtual machine with one disk, for `VBoxManage import` (Open Virtualization Format 1.0, DSP0243; resource types of CIM_ResourceAllocationSettingData). */
export interface OvfMachine {
  readonly name: string
  /** File name of a streamOptimized VMDK beside the descriptor. */
  readonly disk: string
  /** Bytes, as the machine sees it. */
  readonly capacity: number
  readonly memoryMiB: number
  readonly cpus: number
}

const types = { processor: 3, memory: 4, ide: 5, ethernet: 10, disk: 17 } as const

interface Item { readonly type: keyof typeof types; readonly name: string; /** Further elements by name; they must come in the order of the alphabet. */ readonly more?: Readonly<Record<string, string | number>> }

/** The items of the machine, numbered from 1 on: a disk names its controller by that number. */
const itemsOf = ({ memoryMiB, cpus }: OvfMachine): Item[] => [
  { type: 'processor', name: `${cpus} virtual CPU`, more: { VirtualQuantity: cpus } },
  { type: 'memory', name: `${memoryMiB} MB of memory`, more: { AllocationUnits: 'MegaBytes', VirtualQuantity: memoryMiB } },
  { type: 'ide', name: 'ideController0', more: { Address: 0, ResourceSubType: 'PIIX4' } },
  { type: 'disk', name: 'disk1', more: { AddressOnParent: 0, HostResource: '/disk/vmdisk1', Parent: 3 } },
  // The name of virtio's card differs between importers; the box's Vagrantfile sets it.
  { type: 'ethernet', name: "Ethernet adapter on 'NAT'", more: { AutomaticAllocation: 'true', Connection: 'NAT', ResourceSubType: 'E1000' } },
]

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

function element({ type, name, more = {} }: Item, id: number): string {
  const fields: Record<string, string | number> = { ...more, Caption: name, Description: name, ElementName: name, InstanceID: id, ResourceType: types[type] }
  const lines = Object.keys(fields).sort().map((field) => `        <rasd:${field}>${escape(String(fields[field]))}</rasd:${field}>`)
  return `      <Item>\n${lines.join('\n')}\n      </Item>`
}

/** The descriptor, XML. */
export const ovf = (machine: OvfMachine): string => `<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>
    <File ovf:id="file1" ovf:href="${escape(machine.disk)}"/>
  </References>
  <DiskSection>
    <Info>The disk, with its own boot loader</Info>
    <Disk ovf:capacity="${machine.capacity}" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks of the machine</Info>
    <Network ovf:name="NAT">
      <Description>For SSH from the host</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="${escape(machine.name)}">
    <Info>A machine of kernelbed</Info>
    <OperatingSystemSection ovf:id="96">
      <Info>Debian, with a kernel of its own</Info>
      <Description>Debian_64</Description>
      <vbox:OSType ovf:required="false">Debian_64</vbox:OSType>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>What the machine is made of</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>${escape(machine.name)}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
${itemsOf(machine).map((item, i) => element(item, i + 1)).join('\n')}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`
