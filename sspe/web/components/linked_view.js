let view = null;         // what is shown: view_data of sspe.web.panels.boxes
let pinned = null;       // key of the phrase kept lit
let threshold = null;    // per cent; phrases less likely to be in the photo are grey
let boxes = 1;           // boxes shown per phrase
let scores = false;      // whether the table has a column of scores
let editing = false;     // whether words can be clicked to make and drop phrases
let spans = [];          // [start, end] of each phrase, in characters of the sentence, while editing
let pending = null;      // the spans that the visitor wants, as JSON, until their answer is here
let sentAt = 0;          // when the correction was sent that is not answered yet; 0: none is
let timer = null;        // asks again for an answer that does not come

// How a mark, a PhraseMark of view_data, is shown.
const unlikely = (mark) => mark.present !== null && 100 * mark.present < threshold;
const doubtful = (mark) => unlikely(mark) || !mark.known;
const howSure = (mark) => mark.known ? ' ' + mark.figures[0].text : '';  // an unknown word has its question mark
const label = (mark) => mark.key + (doubtful(mark) ? '?' : '');
const spoken = (mark) => [...(unlikely(mark) ? ['probably not in this photo'] : []), mark.spoken,
  ...(mark.note ? [mark.note] : [])].join(', ');

const tint = (node, color, ink) => {
  node.style.setProperty('--c', color);
  node.style.setProperty('--ink', ink);
  return node;
};

const linked = (node, mark) => {
  const grey = doubtful(mark);
  node.dataset.key = mark.key;
  node.classList.toggle('doubtful', grey);
  return tint(node, grey ? view.grey : mark.color, grey ? view.grey_ink : mark.ink);
};

const control = (node, mark, name = '') => {
  linked(node, mark);
  node.setAttribute('aria-pressed', 'false');
  if (name) node.setAttribute('aria-label', name);
  return node;
};

const numberNode = (text) => make('span', 'lv-number', text);

const drawPhoto = (photo) => {
  photo.replaceChildren(photo.firstChild);
  for (const mark of view.phrases) {
    mark.candidates.slice(0, boxes - 1).forEach((candidate, index) => {
      const other = put(linked(make('div', 'lv-other'), mark), candidate.place);
      other.append(make('span', 'lv-other-tag', '#' + (index + 2) + '  score ' + candidate.score));
      photo.append(other);
    });
  }
  for (const mark of view.phrases) {
    mark.frames.forEach((frame, index) => {
      const style = 'lv-box' + (frame.raised ? ' raised' : '') + (frame.flush_right ? ' right' : '');
      // A phrase is one stop for the keyboard and one name for who hears the page, however many boxes it has.
      const box = index ? linked(make('span', style), mark)
        : control(button(style), mark, 'Box ' + mark.key + ': ' + mark.text + ', ' + spoken(mark));
      if (index) box.ariaHidden = 'true';
      put(box, frame.place).style.zIndex = frame.layer + 1;
      box.style.setProperty('--shift', frame.shift);
      const tag = make('span', 'lv-tag', label(mark));
      if (!index) tag.append(make('span', '', ' ' + mark.text + howSure(mark)));
      box.append(tag);
      photo.append(box);
    });
  }
};

const drawSentence = (sentence) => {
  sentence.replaceChildren();
  sentence.classList.toggle('editing', editing);
  if (editing) return drawWords(sentence);
  for (const token of view.tokens) {
    const mark = view.phrases.find(m => m.key === token.key);
    if (!mark) { sentence.append(make('span', '', token.text)); continue; }
    const phrase = control(make('span', 'lv-phrase'), mark);
    phrase.tabIndex = 0;
    phrase.setAttribute('role', 'button');
    phrase.setAttribute('aria-description', 'phrase ' + mark.key + ', ' + spoken(mark));
    const number = numberNode(label(mark));
    const score = make('span', 'lv-score', howSure(mark).trim());
    for (const node of [number, score]) node.ariaHidden = 'true';
    phrase.append(number, make('span', 'lv-words', token.text), score);
    sentence.append(phrase);
  }
};

// Correcting: every word is a button. Those of one phrase stand together, with a button that drops it.

const spanOf = (word) => spans.findIndex(([start, end]) => word.start < end && word.end > start);

const drawWords = (sentence) => {
  let group = null, last = -1;
  view.words.forEach((word, index) => {
    const at = word.text ? spanOf(word) : -1;
    if (group && at !== last) {
      group.append(dropButton(last));
      group = null;
    }
    (group || sentence).append(make('span', '', word.gap));
    if (!word.text) return;
    if (at >= 0 && !group) {
      const [color, ink] = view.palette[at % view.palette.length];
      group = tint(make('span', 'lv-group'), color, ink);
      const first = make('span', 'lv-first');
      const number = numberNode(String(at + 1));
      number.ariaHidden = 'true';
      first.append(number);
      group.append(first);
      sentence.append(group);
    }
    const choice = button('lv-word', word.text);
    choice.dataset.focus = 'word ' + index;
    choice.setAttribute('aria-pressed', String(at >= 0));
    choice.addEventListener('click', () => toggleWord(index));
    if (group && at !== last) group.lastChild.append(choice);  // a number never stands alone at a line's end
    else (group || sentence).append(choice);
    last = at;
  });
};

const dropButton = (at) => {
  const [start, end] = spans[at];
  const text = view.words.filter(w => w.text && w.start < end && w.end > start).map(w => w.text).join(' ');
  const drop = button('lv-drop', '×', 'Drop phrase ' + (at + 1) + ': ' + text);
  drop.dataset.focus = 'drop ' + at;
  drop.addEventListener('click', () => correct(spans.filter((_, index) => index !== at)));
  return drop;
};

// A word of a phrase leaves it, and the rest on either side stays; a free word joins those that only space parts from it.
const toggleWord = (index) => {
  const word = view.words[index];
  const before = view.words[index - 1], after = view.words[index + 1];
  const at = spanOf(word);
  const others = spans.filter((_, i) => i !== at);
  if (at >= 0) {
    const [start, end] = spans[at];
    if (before && before.end > start) others.push([start, before.end]);
    if (after && after.text && after.start < end) others.push([after.start, end]);
    return correct(others);
  }
  const left = before && !word.gap.trim() ? spanOf(before) : -1;
  const right = after && after.text && !after.gap.trim() ? spanOf(after) : -1;
  const start = left >= 0 ? spans[left][0] : word.start;
  const end = right >= 0 ? spans[right][1] : word.end;
  correct([...spans.filter((_, i) => i !== left && i !== right), [start, end]]);
};

const correct = (next) => {
  spans = next.sort((a, b) => a[0] - b[0]);
  pending = JSON.stringify(spans);
  redraw();
  sendSpans();
};

// One question at a time: what was clicked meanwhile is sent when its answer is here, or seems to be lost.
const sendSpans = () => {
  clearTimeout(timer);
  const left = sentAt + 5000 - Date.now();
  if (left <= 0) {
    sentAt = Date.now();
    trigger('edit', {spans});
  }
  timer = setTimeout(() => { if (pending !== null) sendSpans(); }, left > 0 ? left : 5000);
};

const drawTable = (table) => {
  table.replaceChildren();
  const extra = scores && view.calibrated;
  const head = table.createTHead().insertRow();
  for (const title of ['Phrase', ...view.columns, ...(extra ? ['Score'] : []), 'Box: x1, y1, x2, y2 (px)']) {
    const cell = make('th', '', title);
    cell.scope = 'col';
    head.append(cell);
  }
  const body = table.createTBody();
  for (const mark of view.phrases) {
    const row = linked(body.insertRow(), mark);
    const named = row.insertCell();
    named.append(numberNode(label(mark)), mark.text);
    if (mark.note) named.append(make('span', 'lv-note', mark.note));
    if (!mark.known) {
      const cell = row.insertCell();
      cell.colSpan = view.columns.length;
      cell.append(view.unknown);
    }
    for (const figure of mark.figures) {
      const cell = row.insertCell();
      const bar = make('span', 'lv-bar');
      cell.className = 'lv-figure';
      bar.append(make('i'));
      bar.firstChild.style.width = figure.strength + '%';
      cell.append(make('span', 'lv-value', figure.text), bar);
    }
    if (extra) row.insertCell().append(make('span', 'lv-raw', mark.score));
    const pixels = row.insertCell();
    pixels.className = 'lv-pixels';
    for (const box of mark.pixels) pixels.append(make('span', 'lv-corners', box));
  }
};

const drawDoubt = (note) => {
  note.replaceChildren();
  note.hidden = !view.phrases.some(doubtful);
  tint(note, view.grey, view.grey_ink);
  const reasons = [];
  if (view.phrases.some(unlikely)) reasons.push('probably not in this photo (below ' + threshold + ' %)');
  if (view.phrases.some(mark => !mark.known)) reasons.push(view.unknown);
  for (const reason of reasons) {
    const line = make('span');
    const number = numberNode('?');
    number.ariaHidden = 'true';
    line.append(number, 'Grey: ' + reason);
    note.append(line);
  }
};

const toolsNode = () => {
  const tools = make('div', 'lv-tools');
  const edit = button('lv-tool', editing ? 'Done' : 'Correct phrases');
  edit.dataset.focus = 'edit';
  edit.setAttribute('aria-pressed', String(editing));
  edit.addEventListener('click', () => {
    editing = !editing;
    spans = view.phrases.map(mark => [mark.start, mark.end]);
    build();
  });
  tools.append(edit);
  if (editing || view.corrected) {
    const reset = button('lv-tool', 'As found');
    reset.dataset.focus = 'reset';
    reset.title = 'Take the noun phrases that the program finds in the sentence';
    reset.addEventListener('click', () => { pending = null; trigger('edit', {spans: null}); });
    tools.append(reset);
  }
  const most = Math.max(0, ...view.phrases.map(mark => mark.candidates.length)) + 1;
  if (view.calibrated) tools.append(slider('lv-slide', 'Grey below',
    {min: 0, max: 100, step: 1, value: threshold}, value => value + ' %',
    value => { threshold = value; redraw(); }, settled));
  if (most > 1) tools.append(slider('lv-slide', 'Boxes per phrase',
    {min: 1, max: most, step: 1, value: Math.min(boxes, most)}, String,
    value => { boxes = value; redraw(); }, settled));
  if (view.calibrated) {
    const check = make('label', 'lv-slide');
    const input = make('input');
    input.type = 'checkbox';
    input.checked = scores;
    input.addEventListener('change', () => { scores = input.checked; redraw(); });
    check.append(input, ' Score');
    tools.append(check);
  }
  return tools;
};

const settled = () => trigger('release', {threshold: threshold / 100, top_k: boxes});

const redraw = () => {
  const root = element.querySelector('.lv');
  const focused = focusKey();
  drawPhoto(root.querySelector('.lv-photo'));
  drawSentence(root.querySelector('.lv-sentence'));
  drawDoubt(root.querySelector('.lv-doubt'));
  const table = root.querySelector('.lv-table');
  table.hidden = !view.phrases.length;
  drawTable(table);
  paint(pinned);
  restoreFocus(focused);
};

// What has the focus keeps it while its node is made anew.
const focusKey = () => element.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
const restoreFocus = (key) => {
  if (!key) return;
  const node = element.querySelector('[data-focus="' + key + '"]') || element.querySelector('[data-focus="edit"]');
  if (node && node !== document.activeElement) node.focus();
};

const build = () => {
  const root = element.querySelector('.lv');
  const focused = focusKey();
  const image = element.querySelector('.lv-photo img');
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
  const photo = make('div', 'lv-photo');
  photo.style.setProperty('--ratio', view.width / view.height);
  const shown = image && image.src === view.src ? image : make('img');  // the same photo does not flicker
  if (shown.src !== view.src) shown.src = view.src;
  shown.alt = 'The photo, ' + view.width + ' by ' + view.height + ' pixels';
  photo.append(shown);
  const doubt = make('p', 'lv-doubt');
  root.append(photo, make('p', 'lv-sentence'), toolsNode());
  root.append(make('p', 'lv-hint', editing
    ? 'Click a word to add it to a phrase or to take it out, × to drop a phrase; the boxes follow at once.'
    : 'Point at, tap, or tab to a phrase, a box or a row to see what belongs together; click to keep it.'));
  root.append(doubt, make('table', 'lv-table'));
  if (view.explanation) root.append(make('p', 'lv-hint', view.explanation));
  redraw();
  restoreFocus(focused);
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
  const before = view;
  view = props.value;
  pinned = null;
  const same = view && before && view.src && view.src === before.src && view.sentence === before.sentence;
  sentAt = 0;
  if (!same) { editing = false; pending = null; }
  if (view && threshold === null) threshold = view.threshold;
  if (view && view.src) {
    const found = view.phrases.map(mark => [mark.start, mark.end]);
    // An answer to an earlier click does not undo the later one, whose own answer is still to come.
    if (pending === null || JSON.stringify(found) === pending) { spans = found; pending = null; } else sendSpans();
  }
  build();
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
  if (e.target.closest && e.target.closest('.lv-tools, .editing')) return;
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
