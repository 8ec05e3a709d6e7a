"""The linked view: photo with boxes, sentence with phrases, table of scores; pointing at one shows its counterparts.

All of the linking happens in the browser, by mouse, keyboard and touch. User text reaches the page through
``textContent`` only: Gradio runs a rendered ``html_template`` as a JavaScript template literal, so a sentence put
there, even one escaped as HTML, could run code through ``${...}``.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

TEMPLATE = '<div class="lv"></div>'

# Gradio wraps this in the id of the component; nesting does the rest.
CSS = """
.lv { --muted: color-mix(in srgb, var(--body-text-color) 75%, transparent); display: flex; flex-direction: column;
  gap: 14px; min-height: 420px; color: var(--body-text-color); container-type: inline-size; }
.lv * { box-sizing: border-box; }
.lv-empty { margin: auto; max-width: 34em; padding: 24px; text-align: center; color: var(--muted); }
.lv-message { margin: 0; padding: 12px 16px; border-radius: 8px; line-height: 1.5; overflow-wrap: anywhere;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
.lv-message.failed { border-color: var(--error-border-color); background: var(--error-background-fill);
  color: var(--body-text-color); }
.lv-photo { position: relative; align-self: center; width: min(100%, calc(66vh * var(--ratio)));
  aspect-ratio: var(--ratio); container-type: inline-size; isolation: isolate; }
.lv-photo img { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; display: block;
  border-radius: 6px; }
.lv-box { position: absolute; margin: 0; padding: 0; min-width: 14px; min-height: 14px; cursor: pointer;
  background: transparent; border: 3px solid var(--c); border-radius: 4px; transition: opacity .12s;
  box-shadow: 0 0 0 1.5px rgba(0, 0, 0, .8), inset 0 0 0 1.5px rgba(255, 255, 255, .85); }
.lv-tag { position: absolute; top: -3px; left: calc(-3px + var(--shift) * 30px); display: block; max-width: 44cqw;
  padding: 0 7px; font: 600 13px/22px var(--font); white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
  background: var(--c); color: var(--ink); border-radius: 4px; box-shadow: 0 0 0 1.5px rgba(0, 0, 0, .8); }
.lv-box.raised .lv-tag { top: -25px; }
.lv-box.right .lv-tag { left: auto; right: calc(-3px + var(--shift) * 30px); }
.lv-tag span { display: none; }
.lv-box.doubtful { border-width: 2px; box-shadow: 0 0 0 1px rgba(0, 0, 0, .6);
  border-image: repeating-linear-gradient(-45deg, var(--c) 0 6px, #fff 6px 10px) 2; }
.lv-box.active .lv-tag { left: -3px; }
.lv-box.right.active .lv-tag { left: auto; right: -3px; }
.lv-box.active .lv-tag span { display: inline; }
.lv.busy .lv-box:not(.active) { opacity: .13; }
.lv-box.active { z-index: 99 !important; background: color-mix(in srgb, var(--c) 16%, transparent); }
.lv-sentence { margin: 0; font-size: 18px; line-height: 2.1; white-space: pre-wrap; overflow-wrap: anywhere; }
.lv-phrase { padding: 3px 5px; border-radius: 5px; cursor: pointer; color: inherit; transition: opacity .12s;
  background: color-mix(in srgb, var(--c) 22%, transparent); box-shadow: inset 0 -3px 0 var(--c);
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.lv-phrase.active { background: color-mix(in srgb, var(--c) 45%, transparent); }
.lv-phrase.doubtful { box-shadow: none; border-bottom: 2px dashed var(--c); }
.lv-phrase.doubtful:not(.active) .lv-words, .lv-table .doubtful:not(.active) td { color: var(--muted); }
.lv.busy .lv-phrase:not(.active), .lv.busy tbody tr:not(.active) { opacity: .45; }
.lv-number { display: inline-block; min-width: 20px; margin-right: 6px; padding: 0 5px; text-align: center;
  font: 600 12px/19px var(--font); background: var(--c); color: var(--ink); border-radius: 4px;
  border: 1px solid rgba(0, 0, 0, .45); user-select: none; }
.lv-score { margin-left: 6px; font-size: 13px; font-variant-numeric: tabular-nums; user-select: none;
  white-space: nowrap; color: var(--body-text-color); opacity: .85; }
.lv-table { width: 100%; border-collapse: collapse; font-size: 14px; line-height: 1.4; }
.lv-table th { padding: 6px 8px; text-align: left; font-weight: 600; color: var(--muted);
  border-bottom: 1px solid var(--border-color-primary); }
.lv-table td { padding: 7px 8px; vertical-align: middle; border-bottom: 1px solid var(--border-color-primary);
  overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.lv-table tbody tr { cursor: pointer; transition: opacity .12s; }
.lv-table tr.active td { background: color-mix(in srgb, var(--c) 14%, transparent); }
.lv-table .lv-figure { white-space: nowrap; }
.lv-table .lv-pixels { color: var(--muted); }
.lv-bar { display: inline-block; vertical-align: middle; width: 56px; height: 8px; margin-left: 10px;
  border-radius: 4px; background: var(--border-color-primary); overflow: hidden; }
.lv-bar i { display: block; height: 100%; background: var(--c); }
.lv-hint { margin: 0; font-size: 13px; color: var(--muted); }
.lv-doubt { margin: 0; font-size: 14px; }
.lv [data-key]:focus-visible { outline: 3px solid var(--body-text-color); outline-offset: 2px; }
.lv-box:focus-visible { outline-color: #fff !important; }
@media (max-width: 640px) {
  .lv { min-height: 300px; }
  .lv-table th, .lv-table td { padding: 6px 5px; }
}
@container (max-width: 560px) { .lv-table .lv-bar { display: none; } }
@media (prefers-reduced-motion: reduce) { .lv * { transition: none !important; } }
"""

JS = """
let pinned = null;

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

const linked = (node, mark) => {
  node.dataset.key = mark.key;
  node.style.setProperty('--c', mark.color);
  node.style.setProperty('--ink', mark.ink);
  node.classList.toggle('doubtful', mark.doubtful);
  return node;
};

const control = (node, mark, label = '') => {
  linked(node, mark);
  node.setAttribute('aria-pressed', 'false');
  if (label) node.setAttribute('aria-label', label);
  return node;
};

const numberNode = (mark) => make('span', 'lv-number', mark.label);

const photoNode = (view) => {
  const photo = make('div', 'lv-photo');
  photo.style.setProperty('--ratio', view.width / view.height);
  const image = make('img');
  image.src = view.src;
  image.alt = 'The photo, ' + view.width + ' by ' + view.height + ' pixels';
  photo.append(image);
  for (const mark of view.phrases) {
    const box = make('button', 'lv-box' + (mark.raised ? ' raised' : '') + (mark.flush_right ? ' right' : ''));
    control(box, mark, 'Box ' + mark.key + ': ' + mark.text + ', ' + mark.spoken);
    box.type = 'button';
    for (const side of ['left', 'top', 'width', 'height']) box.style[side] = mark[side] + '%';
    box.style.zIndex = mark.layer;
    box.style.setProperty('--shift', mark.shift);
    const tag = make('span', 'lv-tag', mark.label);
    tag.append(make('span', '', ' ' + mark.text + ' ' + mark.figures[0].text));
    box.append(tag);
    photo.append(box);
  }
  return photo;
};

const sentenceNode = (view) => {
  const sentence = make('p', 'lv-sentence');
  for (const token of view.tokens) {
    const mark = view.phrases.find(m => m.key === token.key);
    if (!mark) { sentence.append(make('span', '', token.text)); continue; }
    const phrase = control(make('span', 'lv-phrase'), mark);
    phrase.tabIndex = 0;
    phrase.setAttribute('role', 'button');
    phrase.setAttribute('aria-description', 'phrase ' + mark.key + ', ' + mark.spoken);
    const number = numberNode(mark);
    const score = make('span', 'lv-score', mark.figures[0].text);
    for (const node of [number, score]) node.ariaHidden = 'true';
    phrase.append(number, make('span', 'lv-words', token.text), score);
    sentence.append(phrase);
  }
  return sentence;
};

const tableNode = (view) => {
  const table = make('table', 'lv-table');
  const head = table.createTHead().insertRow();
  for (const title of ['Phrase', ...view.columns, 'Box: x1, y1, x2, y2 (px)']) {
    const cell = make('th', '', title);
    cell.scope = 'col';
    head.append(cell);
  }
  const body = table.createTBody();
  for (const mark of view.phrases) {
    const row = linked(body.insertRow(), mark);
    row.insertCell().append(numberNode(mark), mark.text);
    for (const figure of mark.figures) {
      const cell = row.insertCell();
      const bar = make('span', 'lv-bar');
      cell.className = 'lv-figure';
      bar.append(make('i'));
      bar.firstChild.style.width = figure.strength + '%';
      cell.append(make('span', 'lv-value', figure.text), bar);
    }
    const pixels = row.insertCell();
    pixels.className = 'lv-pixels';
    pixels.append(mark.pixels);
  }
  return table;
};

const doubtNode = (view) => {
  const note = make('p', 'lv-doubt');
  const sample = view.phrases.find(mark => mark.doubtful);
  note.style.setProperty('--c', sample.color);
  note.style.setProperty('--ink', sample.ink);
  const number = make('span', 'lv-number', '?');
  number.ariaHidden = 'true';
  note.append(number, view.doubt);
  return note;
};

const paint = (key) => {
  const root = element.querySelector('.lv');
  root.classList.toggle('busy', key !== null);
  for (const node of root.querySelectorAll('[data-key]')) {
    node.classList.toggle('active', node.dataset.key === key);
    if (node.hasAttribute('aria-pressed')) node.setAttribute('aria-pressed', String(node.dataset.key === pinned));
  }
};

const show = () => {
  const root = element.querySelector('.lv');
  const view = props.value;
  pinned = null;
  root.classList.remove('busy');
  root.replaceChildren();
  if (!view) {
    root.append(make('p', 'lv-empty', 'Choose a photo and write a sentence about it: every phrase gets its box here.'));
    return;
  }
  if (view.message) {
    const message = make('p', 'lv-message' + (view.failed ? ' failed' : ''), view.message);
    message.setAttribute('role', view.failed ? 'alert' : 'status');
    root.append(message);
  }
  if (!view.src) return;
  root.append(photoNode(view), sentenceNode(view));
  if (view.doubt) root.append(doubtNode(view));
  if (view.phrases.length) root.append(
    make('p', 'lv-hint',
      'Point at, tap, or tab to a phrase, a box or a row to see what belongs together; click to keep it.'),
    tableNode(view));
  if (view.explanation) root.append(make('p', 'lv-hint', view.explanation));
};

const keyOf = (target) => {
  const node = target && target.closest ? target.closest('[data-key]') : null;
  return node ? node.dataset.key : null;
};
const pin = (key) => { pinned = key === pinned ? null : key; paint(pinned); };

// Listeners sit on the component itself, which outlives every value that it shows.
element.addEventListener('mouseover', e => paint(keyOf(e.target) ?? pinned));
element.addEventListener('mouseleave', () => paint(pinned));
element.addEventListener('focusin', e => { if (e.target.matches(':focus-visible')) paint(keyOf(e.target) ?? pinned); });
element.addEventListener('focusout', () => paint(pinned));
element.addEventListener('click', e => {
  const key = keyOf(e.target);
  if (key !== null) pin(key);
  else if (pinned !== null) pin(pinned);
});
element.addEventListener('keydown', e => {
  if (e.key === 'Escape' && pinned !== null) pin(pinned);
  const key = keyOf(e.target);
  // A box is a real button and turns these keys into a click by itself.
  if (key !== null && e.target.tagName !== 'BUTTON' && (e.key === 'Enter' || e.key === ' ')) {
    e.preventDefault();
    pin(key);
  }
});
watch('value', show);
show();
"""


class LinkedView(gr.HTML):
    """Shows what :func:`sspe.web.view_data.view_data` or :func:`message_data` built; None shows an invitation."""

    def __init__(self, value: dict[str, Any] | None = None, **settings: Any) -> None:
        settings = {
            "html_template": TEMPLATE,
            "css_template": CSS,
            "js_on_load": JS,
            "apply_default_css": False,
        } | settings
        super().__init__(value=value, **settings)

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """The data as it is; the browser builds the page from it."""
        return value
