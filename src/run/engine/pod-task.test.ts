import { expect, test } from 'vitest'
import { podLine, readPodLine, type PodEvent } from './pod-task.ts'
import { PodVoice } from './pod-voice.ts'

test.each<PodEvent>([{ kind: 'line', text: '✓ boot node1 6.1 s' }, { kind: 'line', text: '' }, { kind: 'phase', phase: 'cluster' }, { kind: 'results', code: 1, archive: '/a', bytes: 3, sha256: 'x' }])('%j is read as it was written', (event) => {
  expect(readPodLine(podLine(7, event))).toEqual({ number: 7, event })
})

test.each(['', 'node: bad option', '12', '12 {"kind":"ph'])('%j is no line of a pod', (line) => {
  expect(readPodLine(line)).toBeUndefined()
})

test('a pod numbers its lines, tells each line of a text, and no step more than once a second', () => {
  const said: string[] = []
  const voice = new PodVoice((text) => said.push(text))
  voice.line('a\nb')
  for (const detail of ['1', '2', '3']) voice.tell({ kind: 'step', id: 4, name: 's', state: 'goes on', detail })
  voice.tell({ kind: 'begin', reaper: { pid: 1, startTime: '1' } })
  voice.tell({ kind: 'step', id: 4, name: 's', state: 'done' })
  expect(said).toEqual(['1 | a\n', '2 | b\n', '3 {"kind":"step","id":4,"name":"s","state":"goes on","detail":"1"}\n', '4 {"kind":"step","id":4,"name":"s","state":"done"}\n'])
})
