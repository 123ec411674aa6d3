"""What the page of `pyrunc plan --html` looks like, and what it does when it is clicked on. Nothing is fetched."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #8884; --lit: #ffd54a; --on-lit: #222; --dim: #777; --host: #2a6fdb; --child: #1a8f5a }
* { box-sizing: border-box }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif }
header { position: sticky; top: 0; z-index: 2; padding: .6em 1em; background: Canvas; border-bottom: 1px solid var(--line) }
header h1 { display: inline; font-size: 1.1em; margin-right: 1em }
header input { font: inherit; width: 16em; max-width: 60vw }
header p { margin: .3em 0 0; color: var(--dim) }
main { display: grid; grid-template-columns: minmax(18em, 2fr) 5fr }
#config { position: sticky; top: 5.2em; align-self: start; height: calc(100vh - 5.2em); overflow: auto }
#config { border-right: 1px solid var(--line) }
#config ol { margin: 0; padding: .5em 0; list-style: none; counter-reset: line; font: 12.5px/1.5 ui-monospace, monospace }
#config li { counter-increment: line; white-space: pre-wrap; overflow-wrap: anywhere; cursor: pointer }
#config li { padding: 0 .6em 0 4em; text-indent: -3.4em }
#config li::before { content: counter(line); display: inline-block; width: 2.6em; margin-right: .8em; text-indent: 0 }
#config li::before { text-align: right; color: var(--dim) }
#plan { display: grid; grid-template-columns: 1fr 1fr; gap: 2px 10px; padding: .5em; align-content: start }
#plan > h2 { font-size: 1em; margin: 0; padding: .2em .5em; color: var(--host) }
#plan > h2 + h2 { color: var(--child) }
.step { grid-column: 1; padding: .25em .6em; border-left: 3px solid var(--host); cursor: pointer; overflow-wrap: anywhere }
.step.child { grid-column: 2; border-color: var(--child) }
.step.meets { background: #8882; font-weight: 600 }
.step code { font: 12.5px ui-monospace, monospace }
.step p { margin: 0; font-size: .9em; color: var(--dim) }
.step a { font-size: .85em; margin-right: .8em }
.lit, #config li.lit { background: var(--lit); color: var(--on-lit) }
.lit p, .lit a { color: inherit }
.away { display: none }
:focus-visible { outline: 2px solid Highlight }
@media (max-width: 50em) {
  main { grid-template-columns: 1fr }
  #config { position: static; height: 14em; border-right: 0; border-bottom: 1px solid var(--line) }
}
"""

SCRIPT = """
const places = JSON.parse(document.getElementById('places').textContent);
const lines = [...document.querySelectorAll('#config li')];
const steps = [...document.querySelectorAll('.step')];
const range = step => step.dataset.lines ? step.dataset.lines.split('-').map(Number) : null;

function light(litSteps, first, last) {
  steps.forEach(step => step.classList.toggle('lit', litSteps.includes(step)));
  lines.forEach((line, i) => line.classList.toggle('lit', first <= i + 1 && i + 1 <= last));
}

function chooseStep(step) {
  const found = range(step);
  light([step], ...(found || [1, 0]));
  if (found) lines[found[0] - 1].scrollIntoView({block: 'nearest'});
}

/* The outermost value that begins on line NUMBER has its steps lit; else those of the smallest value around it. */
function chooseLine(number) {
  const begins = Object.entries(places).filter(([, [first]]) => first === number);
  const here = begins.sort((a, b) => b[1][1] - a[1][1] || a[0].length - b[0].length);
  for (const [pointer, [first, last]] of here) {
    const found = steps.filter(step => step.dataset.at === pointer || step.dataset.at.startsWith(pointer + '/'));
    if (found.length && pointer) return show(found, first, last);
  }
  const around = steps.filter(step => range(step) && range(step)[0] <= number && number <= range(step)[1]);
  const least = Math.min(...around.map(step => range(step)[1] - range(step)[0]));
  const found = around.filter(step => range(step)[1] - range(step)[0] === least);
  show(found, ...(found.length ? range(found[0]) : [number, number]));
}

function show(found, first, last) {
  light(found, first, last);
  if (found.length) found[0].scrollIntoView({block: 'center'});
}

function search(words) {
  const wanted = words.toLowerCase().split(' ').filter(word => word);
  steps.forEach(step => step.classList.toggle('away', !wanted.every(word => step.textContent.toLowerCase().includes(word))));
}

function onChosen(element, act) {
  element.addEventListener('click', event => { if (event.target.tagName !== 'A') act(); });
  element.addEventListener('keydown', event => { if (event.key === 'Enter' && event.target === element) act(); });
}

steps.forEach(step => onChosen(step, () => chooseStep(step)));
lines.forEach((line, i) => onChosen(line, () => chooseLine(i + 1)));
document.getElementById('search').addEventListener('input', event => search(event.target.value));
"""
