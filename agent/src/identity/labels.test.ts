import { expect, it } from 'vitest'
import { recorded } from '../testing/recorded.ts'
import { labelsFromMap, labelsHash, labelsToMap, podLabels } from './labels.ts'

it('hashes labels as Cilium does', () => {
  const identities = JSON.parse(recorded('cli-identity_list_o_json.txt')) as { labels: string[]; labelsSHA256: string }[]
  for (const { labels, labelsSHA256 } of identities) expect(labelsHash(labels)).toBe(labelsSHA256)
})

it('takes a pod\'s labels with its namespace, without those that tell pods of one set apart', () => {
  const labels = podLabels({ namespace: 'shop', labels: { app: 'web', 'pod-template-hash': '5d4f', 'app.kubernetes.io/name': 'web', 'statefulset.kubernetes.io/pod-name': 'web-0', tier: '' } })
  expect(labels).toEqual(['k8s:app.kubernetes.io/name=web', 'k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:tier='])
  expect(labelsFromMap(labelsToMap(labels))).toEqual(labels)
})
