const show = () => {
  const root = element.querySelector('.cb');
  root.replaceChildren();
  for (const piece of props.value || []) {
    if (!piece.code) { root.append(make('p', 'cb-note', piece.title)); continue; }
    const here = new URL('.', window.location.href).href;
    const code = piece.address ? piece.code.replace(piece.address, () => here) : piece.code;
    const block = make('section', 'cb-block');
    const head = make('div', 'cb-head');
    const copy = button('cb-copy', 'Copy', 'Copy: ' + piece.title);
    copy.addEventListener('click', async () => {
      await navigator.clipboard.writeText(code);
      copy.textContent = 'Copied';
      setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
    });
    head.append(make('h3', '', piece.title));
    if (navigator.clipboard) head.append(copy);  // only there where the page came encrypted or from this machine
    const text = make('pre', '', code);
    text.tabIndex = 0;
    text.setAttribute('role', 'region');
    text.setAttribute('aria-label', piece.title);
    block.append(head, text);
    root.append(block);
  }
};
watch('value', show);
whenSeenEmpty(() => trigger('select', {}));
show();
