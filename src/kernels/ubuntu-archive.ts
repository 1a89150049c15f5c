/** A build archive in the layout of Ubuntu's mainline builds, whose CHECKSUMS one known key signs. */
export interface Archive {
  /** For people. */
  readonly name: string
  readonly base: string
  /** Fingerprint of the primary key that must have signed, hex without spaces. */
  readonly fingerprint: string
  /** Where the public key itself is had from; what comes from there is believed only if it has the fingerprint. */
  readonly keyUrl: string
}

const fingerprint = '60AA7B6F30434AE68E569963E50C6A0917C622B0'

/** The fingerprint is the one of “Kernel PPA <kernel-ppa@canonical.com>” (2008) that Ubuntu's page on its mainline builds tells people to verify with. */
export const ubuntuMainline: Archive = {
  name: 'Ubuntu mainline archive',
  base: 'https://kernel.ubuntu.com/mainline',
  fingerprint,
  keyUrl: `https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x${fingerprint}`,
}
