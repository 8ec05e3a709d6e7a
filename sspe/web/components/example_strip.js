const strip = element.querySelector('.eg');  // the photos do not change: drawn once
props.value.forEach((example, index) => {
  const choice = button('eg-photo', undefined);
  const image = make('img');
  choice.title = example.sentence;
  image.src = example.src;
  image.alt = 'Example: ' + example.sentence;
  choice.append(image);
  if (example.badge) choice.append(make('span', 'eg-badge', example.badge));
  choice.addEventListener('click', () => trigger('select', {index}));
  strip.append(choice);
});
