const PAGE = 60;         // tiles at first, and so many more each time
let chips = [];          // {without, text} of a phrase, {without, photo, box, name} of a region
let least = null;        // per cent asked of each phrase; null: the checkpoint's own
let drawnChips = '[]';
let order = 'best';
let top = PAGE;
let own = '';            // their key, while the others are shown as well
let sentAt = 0;          // when the question was sent that is not answered yet; 0: none is
let number = 0;          // of that question; its answer says it, for of two equal ones the page would tell but the first
let waiting = false;     // a later one waits for its answer
let timer = null;

const root = element.querySelector('.se');
const plural = (count, noun) => count.toLocaleString('en') + ' ' + noun + (count === 1 ? '' : 's');

// The question.

const typed = () => {
  const [, sign, text] = field.value.trim().match(/^([+\-−–]?)\s*(.*)$/s);
  return {without: sign !== '' && sign !== '+', text};
};

const texts = (without) => chips.filter(c => c.text && c.without === without).map(c => c.text);
const region = (chip) => ({photo: chip.photo, box: chip.box});

const question = () => {
  const {without, text} = typed();
  const like = chips.find(c => !c.text && !c.without);
  return {
    key, top, text: without ? '' : text, at_least: least === null ? null : least / 100,
    wanted: texts(false), unwanted: [...texts(true), ...(without && text ? [text] : [])],
    like: like ? region(like) : null, unlike: chips.filter(c => !c.text && c.without).map(region),
  };
};

// One question at a time: what was typed meanwhile is asked when its answer is here, or seems to be lost.
const send = () => {
  clearTimeout(timer);
  const left = sentAt + 8000 - Date.now();
  waiting = left > 0;
  if (waiting) { timer = setTimeout(send, left); return; }
  sentAt = Date.now();
  number += 1;
  trigger('submit', {number, ...question()});
};
const soon = () => { clearTimeout(timer); timer = setTimeout(send, 180); };

const ask = () => { top = PAGE; drawChips(); send(); };

const addChip = (chip) => {
  if (chip.text) chips = chips.filter(c => c.text !== chip.text && (c.text || c.without));  // phrases, or one region
  else if (!chip.without) { chips = chips.filter(c => !c.text && c.without); field.value = ''; }
  else chips = chips.filter(c => c.photo !== chip.photo || String(c.box) !== String(chip.box));
  chips.push(chip);
  ask();
};

const takeTyped = () => {
  const chip = typed();
  if (!chip.text) return;
  const read = wall && !chip.without && !texts(false).length && wall.kind === 'phrases' && wall.phrases.length > 1
    && wall.text === chip.text ? wall.phrases : [chip];  // a sentence becomes the phrases it was read as
  field.value = '';
  for (const {text, without} of read.slice(0, -1)) chips.push({text, without});
  addChip({text: read.at(-1).text, without: read.at(-1).without});
};

const dropChip = (chip) => {
  const at = chips.indexOf(chip);
  chips.splice(at, 1);
  ask();
  (chipList.querySelectorAll('.se-sign')[Math.min(at, chips.length - 1)] || field).focus();
};

const drawChips = () => {
  const now = JSON.stringify(chips);
  if (now === drawnChips) return;  // what has the focus keeps it when an answer comes
  drawnChips = now;
  chipList.replaceChildren();
  const wanted = texts(false);
  for (const chip of chips) {
    const words = chip.text || 'like this';
    const sign = chip.without ? '−' : '+';
    const item = make('li', 'se-chip' + (chip.without ? ' without' : ''));
    if (!chip.without && chip.text) item.style.setProperty('--c', wall.palette[wanted.indexOf(chip.text) % wall.palette.length]);
    const turn = button('se-sign', undefined, sign + ' ' + words + (chip.name ? ' in ' + chip.name : '') + (chip.without
      ? ': left out; press to look for it' : ': looked for; press to leave it out'));
    if (!chip.text) {
      const image = make('img');
      image.alt = '';
      picture(chip.photo, chip.box.map(Math.round), 64).then(src => { image.src = src; }, () => {});
      turn.append(sign, image);
    } else turn.append(sign + ' ');
    turn.append(words);
    const drop = button('se-drop', '×', 'Remove ' + sign + ' ' + words);
    on(turn, 'click', () => {
      chips = chips.filter(c => c !== chip);
      addChip({...chip, without: !chip.without});
      chipList.lastChild.querySelector('.se-sign').focus();
    });
    on(drop, 'click', () => dropChip(chip));
    on(item, 'keydown', e => {
      if (e.key === 'Delete' || e.key === 'Backspace') { e.preventDefault(); dropChip(chip); }
    });
    item.append(turn, drop);
    chipList.append(item);
  }
  chipList.hidden = !chips.length;
};

// The page's parts, made once, so that the field keeps its letters and the focus.

const field = make('input', 'se-field');
Object.assign(field, {type: 'search', placeholder: 'a red umbrella', maxLength: 300, autocomplete: 'off', spellcheck: true});
field.setAttribute('aria-label', 'What to look for');
const add = button('se-tool', 'Add', 'Add what is typed as a phrase');
const form = part('form', 'se-bar', field, add);
const shelves = make('div', 'se-shelves');
const chipList = make('ul', 'se-chips');
chipList.setAttribute('aria-label', 'Phrases of the search');
const hint = make('p', 'se-hint');
const count = make('strong', 'se-count');
const facts = make('span', 'se-facts');
const line = part('p', 'se-line', count, ' ', facts);
line.setAttribute('role', 'status');
const bar = make('span', 'se-slide');
const ordering = make('select', 'se-order');
for (const [value, words] of [['best', 'Best first'], ['newest', 'Newest first'], ['oldest', 'Oldest first']])
  ordering.append(new Option(words, value));
ordering.setAttribute('aria-label', 'Order of the photos');
const all = button('se-tool se-all', 'Select all');
const saving = part('span', 'se-saving', make('span', 'se-what'));
for (const [kind, words] of [['paths', 'Paths'], ['coco', 'COCO'], ['zip', 'ZIP']])
  saving.append(on(button('se-tool', words, 'Export: ' + words), 'click', () => save(kind)));
const tools = part('div', 'se-row', bar, ordering, all, saving);
const problem = make('p', 'se-message failed');
problem.setAttribute('role', 'alert');
const message = make('p', 'se-message');
const list = make('ul', 'se-wall');
list.setAttribute('aria-label', 'Photos: arrows move, Space shows one whole, x selects it, Enter localizes in it');
const more = button('se-tool', 'Show more');
const skipped = make('details', 'se-skipped');
const dialog = make('dialog', 'se-look');
root.append(shelves, form, chipList, hint, tools, line, problem, message, list, more, skipped, dialog);
for (const node of [problem, message, more, skipped, chipList]) node.hidden = true;

on(form, 'submit', e => { e.preventDefault(); takeTyped(); });
on(add, 'click', takeTyped);
on(field, 'input', () => {
  if (typed().text) chips = chips.filter(c => c.text || c.without);  // phrases instead of a region
  top = PAGE;
  drawChips();
  soon();
});
on(field, 'keydown', e => {
  if (e.key === 'Enter') { e.preventDefault(); takeTyped(); }
  if (e.key === 'Backspace' && !field.value && chips.length) dropChip(chips.at(-1));
  if (e.key === 'ArrowDown' && tiles.length) { e.preventDefault(); go(current); }
});
on(ordering, 'change', () => { order = ordering.value; drawTiles(); });
on(all, 'click', () => {
  if (tiles.some(tile => chosen.has(tile.photo))) chosen.clear();
  else for (const tile of tiles) chosen.add(tile.photo);
  drawSelection();
});
on(more, 'click', () => { top += PAGE; send(); });
on(list, 'keydown', onKey);
on(list, 'keyup', e => { if (e.key === ' ' && e.target.classList.contains('se-pick')) e.preventDefault(); });
on(list, 'focusin', e => {
  const at = tiles.indexOf(e.target.closest('.se-tile').tile);
  if (at !== current) { current = at; drawSelection(); }
});
on(dialog, 'keydown', e => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[e.key];
  if (step) look(dialog.at + step);
  if (e.key === ' ' && e.target.tagName !== 'BUTTON') { e.preventDefault(); dialog.close(); }
});
on(dialog, 'close', () => go(dialog.at));  // the browser itself goes back to where it was opened
on(dialog, 'click', e => { if (e.target === dialog) dialog.close(); });

const drawShelves = () => {
  shelves.replaceChildren();
  const words = plural(wall.photos, wall.own ? 'photo of yours' : wall.examples ? 'example photo' : 'photo')
    .replace('photo of yourss', 'photos of yours');
  shelves.append(make('span', 'se-shelf', words));
  if (!own) {  // the field for them lies beside the wall where there is room, else at its end
    const down = on(button('se-tool se-down', 'Search your own photos'), 'click', () => {
      const drop = document.querySelector('#drop');
      drop.scrollIntoView({block: 'center'});
      drop.querySelector('button').focus();
    });
    shelves.append(down);
    return;
  }
  const other = button('se-tool', wall.own ? 'Back to the photos of the page' : 'Search your own photos');
  on(other, 'click', () => { key = wall.own ? '' : own; chosen.clear(); chips = chips.filter(c => c.text); ask(); });
  shelves.append(other);
};

const drawHint = () => {
  hint.replaceChildren('Enter keeps a phrase, a minus before it leaves out what shows it. ',
    make('span', 'se-keys', 'Among the photos: arrows, Space, x, Enter. '));
  if (!wall.suggestions.length) return;
  hint.append('Try ');
  for (const words of wall.suggestions) hint.append(on(button('se-try', words), 'click', () => {
    chips = [];
    field.value = words;
    field.focus();
    ask();
  }));
};

const drawSlider = () => {
  bar.classList.toggle('off', wall.threshold === null || wall.kind === 'like');
  if (wall.threshold === null || bar.firstChild) return;
  bar.append(slider('', 'At least', {min: 0, max: 100, step: 1, value: Math.round(100 * wall.threshold)},
    value => value + ' %',
    value => { least = value; drawTiles(); if (value < 100 * wall.at_least) soon(); },
    value => { if (value < 100 * wall.at_least) send(); }));
};

// What lies below the slider goes at once; the server is asked only for what it has not sent.
const drawTiles = () => {
  const focused = list.contains(document.activeElement) ? document.activeElement.closest('.se-tile').tile.photo : null;
  const kept = new Map([...list.children].map(node => [node.tile.id, node]));
  const hits = wall.hits.filter(tile => tile.probability === null || least === null || 100 * tile.probability >= least - 1e-6);
  if (order !== 'best') hits.sort((a, b) => !a.date - !b.date || (order === 'newest' ? -1 : 1) * (a.date < b.date ? -1 : a.date > b.date));
  tiles = hits.map(tile => kept.get(tile.id)?.tile || tile);
  list.replaceChildren(...tiles.map(tile => kept.get(tile.id) || tileNode(tile)));
  for (const node of list.children) node.querySelector('.se-name').textContent =
    (order !== 'best' && node.tile.date ? node.tile.date.slice(0, 10) + ' ' : '') + node.tile.name;
  current = Math.max(0, tiles.findIndex(tile => tile.photo === focused));
  const filtered = tiles.length < wall.hits.length;
  count.textContent = wall.kind === 'all' ? plural(wall.photos, 'photo')
    : tiles.length.toLocaleString('en') + (wall.more && !filtered ? ' or more' : '') + ' of ' + plural(wall.photos, 'photo');
  const below = filtered && !tiles.length;
  message.textContent = wall.building && !wall.message ? 'The photos are being embedded: ' + wall.building.done + ' of '
    + (wall.building.total || '…') : below ? 'No photo reaches ' + least + ' %: ask for less with the slider.' : wall.message;
  message.hidden = !message.textContent;
  message.classList.toggle('failed', wall.failed);
  more.hidden = !wall.more || filtered;
  drawSelection();
  if (focused !== null && tiles.length) nodeOf(tiles[current]).querySelector('.se-pick').focus();
};

const drawFacts = () => {
  const said = [];
  if (wall.kind !== 'all' && wall.searched) {
    said.push('searched ' + wall.searched.toLocaleString('en') + ' of ' + wall.photos.toLocaleString('en'),
      wall.milliseconds.toLocaleString('en') + ' ms', wall.exact ? 'exact' : 'approximate');
    if (wall.excluded) said.push(wall.excluded + ' left out for what is not to be there');
  }
  facts.textContent = said.join(' · ');
  skipped.hidden = !wall.skipped.length;
  const names = make('ul');
  for (const {name, reason} of wall.skipped)
    names.append(make('li', '', reason.startsWith(name) ? reason : name + ': ' + reason));
  skipped.replaceChildren(make('summary', '', plural(wall.skipped.length, 'file') + ' left out'), names);
};

const show = () => {
  if (!props.value) return;
  wall = props.value;
  sentAt = 0;
  if (wall.dropped) { own = key = wall.key; chosen.clear(); chips = chips.filter(c => c.text); }
  else if (wall.failed && !wall.key && key) key = own = '';  // the visitor's photos are gone
  for (const tile of wall.hits) tile.id = JSON.stringify([wall.key, tile.photo, tile.crop, tile.figure, tile.boxes]);
  problem.hidden = true;
  drawShelves();
  drawHint();
  drawSlider();
  drawFacts();
  drawTiles();
  drawChips();
  if (wall.building && !wall.failed) setTimeout(send, 1000);
  else if (waiting || (wall.dropped && (chips.length || typed().text))) send();
};
watch('value', show);
whenSeenEmpty(send);
show();
