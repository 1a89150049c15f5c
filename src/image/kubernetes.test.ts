import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { checkKubernetesSpec, kubernetesPrograms } from './kubernetes.ts'

const dir = mkdtempSync(join(tmpdir(), 'kernelbed-k8s-'))
afterAll(() => rmSync(dir, { recursive: true }))

const elf = (machine: number): Buffer => {
  const head = Buffer.alloc(64)
  head.writeUInt32BE(0x7f454c46, 0)
  head.writeUInt16LE(machine, 18)
  return head
}

describe('a --kubernetes value', () => {
  it('is nothing, a release or a folder', () => {
    expect(() => checkKubernetesSpec(undefined)).not.toThrow()
    expect(() => checkKubernetesSpec('v1.29.3')).not.toThrow()
    expect(() => checkKubernetesSpec('1.29')).toThrow(expect.objectContaining({ blame: 'usage', message: '--kubernetes 1.29: neither a release like v1.29.3 nor a folder' }))
  })

  it('that is a folder must hold every program, for this architecture', () => {
    expect(() => checkKubernetesSpec(dir)).toThrow('missing kube-apiserver, kube-controller-manager')
    for (const program of kubernetesPrograms) writeFileSync(join(dir, program), elf(62))
    expect(() => checkKubernetesSpec(dir)).not.toThrow()
    writeFileSync(join(dir, 'etcd'), elf(183))
    expect(() => checkKubernetesSpec(dir)).toThrow('is for another architecture (ELF machine 183)')
    writeFileSync(join(dir, 'etcd'), '#!/bin/sh\n')
    expect(() => checkKubernetesSpec(dir)).toThrow('is not a Linux program')
  })
})
