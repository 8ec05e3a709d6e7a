// Shared by the page's own components. User text reaches the page through textContent only.
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

const button = (className, text, label) => {
  const node = make('button', className, text);
  node.type = 'button';
  if (label) node.setAttribute('aria-label', label);
  return node;
};

// A box in per cent of the photo.
const put = (node, place) => {
  for (const side of ['left', 'top', 'width', 'height']) node.style[side] = place[side] + '%';
  return node;
};

// A labelled slider whose words name the value; `moved` is called while it moves, `released` once it rests.
const slider = (className, title, range, words, moved, released) => {
  const label = make('label', className, title + ' ');
  const input = make('input');
  const output = make('output', '', words(range.value));
  input.type = 'range';
  for (const name of ['min', 'max', 'step', 'value']) input[name] = range[name];
  input.setAttribute('aria-valuetext', words(range.value));
  input.addEventListener('input', () => {
    output.textContent = words(Number(input.value));
    input.setAttribute('aria-valuetext', output.textContent);
    moved(Number(input.value));
  });
  input.addEventListener('change', () => released && released(Number(input.value)));
  label.append(input, output);
  return label;
};

// Gradio loses what comes for a component that is still being mounted: one that is looked at and empty asks for it.
const whenSeenEmpty = (ask) => new IntersectionObserver((entries) => {
  if (!entries.some(entry => entry.isIntersecting)) return;
  setTimeout(() => { if (!props.value && element.offsetParent) ask(); }, 700);
}).observe(element);
