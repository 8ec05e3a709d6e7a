// Tiles of the search's wall: pictures, selection, keys, export. search_view.js comes after it and asks the questions.
let wall = null;         // what is shown: wall_data of sspe.web.panels.wall
let key = '';            // of the visitor's own photos; empty: those of the page
let tiles = [];          // in the order shown
let chosen = new Set();  // places of the photos selected
let current = 0;         // the tile that Tab reaches
let anchor = 0;          // where a range of tiles begins

const part = (tag, className, ...children) => { const node = make(tag, className); node.append(...children); return node; };
const on = (node, event, listener) => { node.addEventListener(event, listener); return node; };

// Pictures, a few at a time; those on the way or here are not asked for again.

const pictures = new Map();
const queued = [];
let loading = 0;
const nextPicture = () => {
  while (loading < 4 && queued.length) {
    const {asked, done, failed} = queued.shift();
    loading += 1;
    server.draw(asked).then(src => src.startsWith('data:') ? done(src) : failed(src), () => failed('The picture did not come.'))
      .finally(() => { loading -= 1; nextPicture(); });
  }
};
const picture = (photo, crop, side) => {
  const asked = {key, photo, crop, side};
  const name = JSON.stringify(asked);
  if (!pictures.has(name)) {
    if (pictures.size > 600) pictures.delete(pictures.keys().next().value);
    pictures.set(name, new Promise((done, failed) => { queued.push({asked, done, failed}); nextPicture(); }));
    pictures.get(name).catch(() => pictures.delete(name));
  }
  return pictures.get(name);
};

// A frame of the picture's own shape, with the boxes of what was found on it.
const frameOf = (tile, crop, side) => {
  const [left, top, right, bottom] = crop || [0, 0, tile.width, tile.height];
  const frame = make('span', 'se-frame');
  frame.style.setProperty('--ratio', (right - left) / (bottom - top));
  picture(tile.photo, crop, side).then(src => {
    const image = make('img');
    image.alt = '';
    image.src = src;
    frame.prepend(image);
  }, problem => frame.append(make('span', 'se-gone', problem)));
  for (const box of tile.boxes) {
    const drawn = put(make('span', 'se-box'), crop ? box.inside : box.place);
    drawn.style.setProperty('--c', box.color);
    frame.append(drawn);
  }
  return frame;
};

const spoken = (tile) => tile.name + tile.boxes.map(b => ', ' + b.text + ' ' + b.figure).join('');

const seen = new IntersectionObserver((entries) => {
  for (const {isIntersecting, target} of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    target.querySelector('.se-pick').prepend(frameOf(target.tile, target.tile.crop, 360));
  }
}, {rootMargin: '300px'});

const tileNode = (tile) => {
  const item = make('li', 'se-tile');
  item.tile = tile;
  const pick = button('se-pick', undefined, spoken(tile));
  pick.tabIndex = -1;
  if (tile.figure) pick.append(make('span', 'se-figure', tile.figure));
  const mark = button('se-mark', '✓', 'Select ' + tile.name);
  const whole = button('se-open', '⤢', 'Show the whole photo: ' + tile.name);
  const acts = make('span', 'se-acts');
  for (const [without, words] of [[false, 'More like this'], [true, 'Not like this']]) {
    const act = button('se-act', words, words + ': ' + tile.name);
    on(act, 'click', () => addChip({without, photo: tile.photo, name: tile.name,
      box: tile.found.length ? tile.found[0].box : [0, 0, tile.width, tile.height]}));
    acts.append(act);
  }
  on(whole, 'click', () => look(tiles.indexOf(item.tile)));
  on(mark, 'click', e => { if (e.shiftKey) range(item.tile); else toggle(item.tile); });
  on(pick, 'click', e => {
    if (e.shiftKey) range(item.tile);
    else if (e.ctrlKey || e.metaKey) toggle(item.tile);
    else choose(item.tile);
  });
  let resting = null;
  on(item, 'mouseenter', () => { resting = setTimeout(() => {
    if (!pick.querySelector('.se-whole')) {
      const frame = frameOf(tile, null, 480);
      frame.classList.add('se-whole');
      pick.prepend(frame);
    }
    item.classList.add('whole');
  }, 120); });
  on(item, 'mouseleave', () => { clearTimeout(resting); item.classList.remove('whole'); });
  item.append(pick, mark, whole, make('span', 'se-name', tile.name), acts);
  seen.observe(item);
  return item;
};

// Selection and keys.

const nodeOf = (tile) => [...list.children].find(node => node.tile === tile);
const toggle = (tile, wanted = !chosen.has(tile.photo)) => {
  if (wanted) chosen.add(tile.photo); else chosen.delete(tile.photo);
  anchor = tiles.indexOf(tile);
  drawSelection();
};
const range = (tile) => {
  const [from, to] = [anchor, tiles.indexOf(tile)].sort((a, b) => a - b);
  for (const between of tiles.slice(from, to + 1)) chosen.add(between.photo);
  drawSelection();
};
const choose = (tile) => trigger('select', {key, photo: tile.photo,
  sentence: wall.kind === 'phrases' ? tile.found.map(phrase => phrase.text).join(' and ') : ''});

const drawSelection = () => {
  for (const node of list.children) {
    const is = chosen.has(node.tile.photo);
    node.classList.toggle('chosen', is);
    node.querySelector('.se-mark').setAttribute('aria-pressed', String(is));
    const at = tiles[current] === node.tile;
    for (const inside of node.querySelectorAll('button')) inside.tabIndex = at ? 0 : -1;
  }
  const picked = tiles.filter(tile => chosen.has(tile.photo)).length;
  saving.firstChild.textContent = picked ? 'Export ' + picked.toLocaleString('en') + ' selected:'
    : 'Export all ' + tiles.length.toLocaleString('en') + ':';
  saving.classList.toggle('off', !tiles.length);
  for (const choice of saving.querySelectorAll('button')) choice.disabled = !tiles.length;
  all.textContent = picked ? 'Select none' : 'Select all';
  all.disabled = !tiles.length;
};

const go = (to, extend) => {
  if (to < 0 || to >= tiles.length) return;
  current = to;
  if (extend) range(tiles[to]);
  drawSelection();
  nodeOf(tiles[to]).querySelector('.se-pick').focus();
};

const onKey = (e) => {
  if (!tiles.length) return;
  const columns = getComputedStyle(list).gridTemplateColumns.split(' ').length;
  const steps = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
    Home: -current, End: tiles.length - 1 - current};
  const control = e.ctrlKey || e.metaKey;
  if (control && e.key.toLowerCase() === 'a') for (const tile of tiles) chosen.add(tile.photo);
  else if (control || e.altKey) return;
  else if (e.key in steps) {
    if (e.shiftKey && !chosen.has(tiles[anchor]?.photo)) anchor = current;
    if (!e.shiftKey) anchor = current + steps[e.key];
    go(current + steps[e.key], e.shiftKey);
  } else if (e.key.toLowerCase() === 'x') toggle(tiles[current]);
  else if (e.key === 'Escape' && chosen.size) chosen.clear();
  else if (e.key === ' ' && e.target.classList.contains('se-pick')) look(current);
  else return;
  e.preventDefault();
  drawSelection();
};

const look = (at) => {
  if (!tiles[at]) return;
  dialog.at = at;
  const tile = tiles[at];
  const close = on(button('se-tool', 'Close'), 'click', () => dialog.close());
  const localize = on(button('se-tool', 'Localize in this photo'), 'click', () => { dialog.close(); choose(tile); });
  const words = make('p', 'se-words', tile.name + (tile.date ? ', ' + tile.date.slice(0, 10) : ''));
  for (const box of tile.boxes) {
    const figure = make('span', 'se-found', box.text + ' ' + box.figure);
    figure.style.setProperty('--c', box.color);
    words.append(figure);
  }
  dialog.replaceChildren(part('div', 'se-pane', frameOf(tile, null, 1280)), words, part('p', 'se-row', localize, close));
  dialog.setAttribute('aria-label', 'The whole photo: ' + spoken(tile));
  if (!dialog.open) dialog.showModal();
  close.focus();
};

const save = async (kind) => {
  const picked = tiles.filter(tile => chosen.has(tile.photo));
  const saved = await server.take_away({kind, key,
    tiles: (picked.length ? picked : tiles).map(({photo, found}) => ({photo, found}))});
  problem.textContent = saved.problem || '';
  problem.hidden = !saved.problem;
  if (saved.problem) return;
  const link = make('a');
  link.download = saved.name;
  link.href = saved.file ? new URL('gradio_api/file=' + encodeURI(saved.file), new URL('.', window.location.href)).href
    : URL.createObjectURL(new Blob([saved.text], {type: 'text/plain'}));
  link.click();
  if (!saved.file) setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
