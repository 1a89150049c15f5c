import { matching } from './filter.ts'

/**
 * The page's script: reveals what a link leads to, filters flows, copies commands, opens sections for printing. It only ever sets
 * `textContent`, so data cannot become markup. The page is whole without it, but for the flows.
 */
export const clientScript = (): string => `'use strict';
const matching = ${matching.toString()};
${String.raw`
const PAGE = 100;
const reveal = (element) => { for (let at = element; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true; };

function goTo(hash) {
  const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target) return;
  reveal(target);
  target.scrollIntoView();
}
addEventListener('hashchange', () => goTo(location.hash));
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="#"]');
  // The same link again makes no hashchange.
  if (link && link.getAttribute('href') === location.hash) goTo(location.hash);
});
goTo(location.hash);

for (const button of document.querySelectorAll('button.copy')) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    const code = button.parentElement.querySelector('code');
    let done = true;
    try { await navigator.clipboard.writeText(code.textContent); } catch {
      getSelection().selectAllChildren(code);
      done = document.execCommand('copy');
    }
    button.textContent = done ? 'Copied' : 'Selected';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
}

const forPrint = [];
addEventListener('beforeprint', () => {
  for (const details of document.querySelectorAll('details[data-print]:not([open])')) { details.open = true; forPrint.push(details); }
  document.querySelectorAll('details.flows').forEach(draw);
});
addEventListener('afterprint', () => { for (const details of forPrint.splice(0)) details.open = false; });

function flowTable(details) {
  const rows = JSON.parse(details.querySelector('script').textContent);
  const haystacks = rows.map((row) => row.slice(1).join('\n').toLowerCase());
  const form = details.querySelector('form'), body = details.querySelector('tbody'), more = details.querySelector('.more'), output = details.querySelector('output');
  let found = [], shown = 0, frame = 0;
  const count = (n) => n.toLocaleString('en-US');

  const cell = (text, name) => { const td = document.createElement('td'); td.textContent = text; if (name) td.className = name; return td; };
  const line = (index) => {
    const [at, node, type, verdict, packet, detail] = rows[index];
    const tr = document.createElement('tr');
    tr.className = type;
    tr.dataset.index = index;
    const first = document.createElement('td'), button = document.createElement('button');
    button.type = 'button';
    button.textContent = at;
    button.setAttribute('aria-expanded', 'false');
    button.setAttribute('aria-label', 'event ' + at + ' of ' + node + ' as printed');
    first.append(button);
    tr.append(first, cell(node), cell(type), cell(verdict, 'verdict'), cell(packet, 'packet'), cell(detail, 'detail'));
    return tr;
  };
  const grow = () => {
    const until = Math.min(found.length, shown + PAGE);
    const lines = document.createDocumentFragment();
    for (; shown < until; shown++) lines.append(line(found[shown]));
    body.append(lines);
    more.hidden = shown >= found.length;
    output.textContent = found.length === 0 ? 'nothing matches (' + count(rows.length) + ' events)' : 'showing ' + count(shown) + ' of ' + count(found.length) + (found.length < rows.length ? ' that match, of ' + count(rows.length) : '');
  };
  const apply = () => {
    const { text, type, verdict, node } = form.elements;
    found = matching(rows, haystacks, { text: text.value, type: type.value, verdict: verdict.value, node: node.value });
    shown = 0;
    body.textContent = '';
    grow();
  };
  const soon = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(apply); };
  form.addEventListener('input', soon);
  form.addEventListener('reset', soon);
  form.addEventListener('submit', (event) => event.preventDefault());
  more.addEventListener('click', grow);
  body.addEventListener('click', (event) => {
    const tr = event.target.closest('tr[data-index]');
    if (!tr || (getSelection().toString() && !event.target.closest('button'))) return;
    const button = tr.querySelector('button'), open = button.getAttribute('aria-expanded') === 'true';
    button.setAttribute('aria-expanded', String(!open));
    if (open) return tr.nextElementSibling.remove();
    const raw = document.createElement('tr'), td = cell('');
    const pre = document.createElement('pre');
    pre.textContent = rows[tr.dataset.index][6];
    raw.className = 'raw';
    td.colSpan = 6;
    td.append(pre);
    raw.append(td);
    tr.after(raw);
  });
  apply();
}
// Drawn when first in sight: a report of eleven kernels opens at once.
const draw = (details) => { if (details.open && !details.dataset.drawn) { details.dataset.drawn = 'yes'; flowTable(details); } };
const inSight = new IntersectionObserver((entries) => { for (const entry of entries) if (entry.isIntersecting) draw(entry.target); }, { rootMargin: '300px' });
for (const details of document.querySelectorAll('details.flows')) {
  details.addEventListener('toggle', () => draw(details));
  inSight.observe(details);
}
`}`
