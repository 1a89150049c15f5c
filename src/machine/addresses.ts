/** MAC address of node N's card on the wire (docs/architecture.md, fixed numbers). */
export const wireMac = (index: number): string => `52:54:00:77:00:${index.toString(16).padStart(2, '0')}`

/** Node N's address on the wire, its InternalIP. */
export const wireAddress = (index: number): string => `192.168.77.${10 + index}`
