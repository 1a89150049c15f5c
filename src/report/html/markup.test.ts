import { expect, test } from 'vitest'
import { escapeHtml, href, html, json } from './markup.ts'

test('values are escaped, markup is not escaped twice, nothing stands for undefined and false', () => {
  expect(html`<p title="${'"<'}">${[html`<b>${'&'}</b>`, undefined, false, 0]}</p>`.text).toBe('<p title="&quot;&lt;"><b>&amp;</b>0</p>')
})

test('control characters and bidirectional overrides are shown as replaced; tab and newline stay', () => {
  expect(escapeHtml('a\u0000\u001b\t\n\u202eb')).toBe('a\ufffd\ufffd\t\n\ufffdb')
})

test('data cannot end its script element', () => {
  expect(json('</script><!--').text).toBe(String.raw`"\u003c/script>\u003c!--"`)
})

test('a link is always a relative path', () => {
  expect(href('.', 'logs/a b.log')).toBe('./logs/a%20b.log')
  expect(href('../x', '/etc//passwd')).toBe('./../x/etc/passwd')
  expect(href('javascript:alert(1)')).toBe('./javascript%3Aalert(1)')
  expect(href('\ud800')).toBe('./%EF%BF%BD')
})
