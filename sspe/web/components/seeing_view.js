let count = 20;   // proposals drawn over the photo

const figureOf = (name, title, caption) => {
  const figure = make('figure', 'sv-figure sv-' + name);
  figure.append(make('h3', '', title));
  const frame = make('div', 'sv-frame');
  const words = make('figcaption', '', caption);
  figure.append(frame, words);
  return [figure, frame, words];
};

const picture = (src, alt, className) => {
  const image = make('img', className);
  image.src = src;
  image.alt = alt;
  return image;
};

const ratio = (node, view) => { node.style.setProperty('--ratio', view.width / view.height); return node; };

const choiceNode = (view) => {
  const row = make('div', 'sv-choice');
  row.setAttribute('role', 'group');
  row.setAttribute('aria-label', 'Phrase');
  view.phrases.forEach((phrase, index) => {
    const choice = button('sv-phrase', undefined);
    choice.style.setProperty('--c', phrase.color);
    choice.style.setProperty('--ink', phrase.ink);
    choice.setAttribute('aria-pressed', String(phrase.key === view.chosen));
    choice.dataset.focus = index;
    choice.append(make('span', 'sv-number', phrase.key), phrase.text);
    choice.addEventListener('click', () => trigger('select', {index}));
    row.append(choice);
  });
  return row;
};

const proposalsNode = (view) => {
  const [figure, frame, caption] = figureOf('proposals', 'Proposals', '');
  const chosen = view.phrases.find(phrase => phrase.key === view.chosen);
  figure.style.setProperty('--c', chosen.color);
  ratio(frame, view).append(picture(view.src, 'The photo with the best proposals for ' + chosen.text));
  const boxes = make('div', 'sv-boxes');
  frame.append(boxes);
  const draw = () => {
    boxes.replaceChildren();
    view.proposals.slice(0, count).forEach((proposal, index) => {
      const box = put(make('div', 'sv-box'), proposal.place);
      box.style.opacity = proposal.opacity;
      box.dataset.rank = index + 1;
      boxes.prepend(box);  // the best lies on top
    });
    boxes.append(put(make('div', 'sv-answer'), view.answer));
  };
  const most = view.proposals.length;
  if (most > 1) figure.insertBefore(slider('sv-slide', 'Best', {min: 1, max: most, step: 1, value: Math.min(count, most)},
    value => value + ' of ' + view.regions, value => { count = value; draw(); }), caption);
  caption.textContent = 'The proposed boxes, the fainter the lower the score with the phrase. '
    + 'Dashed: the answer, refined from them.';
  draw();
  return figure;
};

const heatNode = (view) => {
  const [figure, frame] = figureOf('heat', 'Heat map',
    'Each proposal weighs exp(score / 0.05). A point shows how much weight covers it, '
    + 'as a share of the most that any point has.');
  ratio(frame, view).append(picture(view.src, '', 'sv-under'), picture(view.heat, 'Where the weight of the phrase lies', 'sv-heat-map'));
  const legend = make('div', 'sv-legend');
  const bar = make('span', 'sv-ramp');
  bar.style.background = 'linear-gradient(90deg, ' + view.ramp.join(', ') + ')';
  legend.append('0', bar, '1');
  figure.insertBefore(legend, figure.lastChild);
  return figure;
};

const edgesNode = (view) => {
  const [figure, frame] = figureOf('edges', 'Edge map',
    'What Edge Boxes sees: colour edges, thinned, at ' + view.edge_side + ' × ' + view.edge_side
    + ' points, whatever the phrase. A box with many whole contours inside is proposed.');
  ratio(frame, view).append(picture(view.edges, 'Edges of the photo, dark on white'));
  return figure;
};

const cropsNode = (view) => {
  const [figure, frame] = figureOf('crops', 'Best crops',
    'Regions most like the phrase, near repetitions left out; #: rank among all ' + view.regions + '. Below: score.');
  frame.classList.remove('sv-frame');
  frame.classList.add('sv-strip');
  for (const crop of view.crops) {
    const item = make('div', 'sv-crop');
    const pane = make('div', 'sv-pane');
    pane.append(picture(crop.src, 'Crop of rank ' + crop.rank));
    item.dataset.rank = crop.rank;
    item.append(pane, make('span', 'sv-score', crop.score), make('span', 'sv-rank', '#' + crop.rank));
    frame.append(item);
  }
  return figure;
};

const show = () => {
  const root = element.querySelector('.sv');
  const view = props.value;
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  root.replaceChildren();
  if (!view) return root.append(make('p', 'sv-note', 'Looking …'));
  if (view.message) return root.append(make('p', 'sv-note', view.message));
  const grid = make('div', 'sv-grid');
  grid.append(proposalsNode(view), heatNode(view), edgesNode(view), cropsNode(view));
  root.append(choiceNode(view), grid);
  if (focused !== undefined) root.querySelector('[data-focus="' + focused + '"]')?.focus();
};

// A crop points at its box.
const light = (target) => {
  const crop = target && target.closest ? target.closest('.sv-crop') : null;
  for (const box of element.querySelectorAll('.sv-box')) box.classList.toggle('active', !!crop && box.dataset.rank === crop.dataset.rank);
  element.querySelector('.sv-boxes')?.classList.toggle('busy', !!element.querySelector('.sv-box.active'));
};
element.addEventListener('mouseover', e => light(e.target));
element.addEventListener('mouseleave', () => light(null));
watch('value', show);
whenSeenEmpty(() => trigger('select', {index: 0}));
show();
