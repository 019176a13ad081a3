// Comfort for tables: sort by a column, filter rows, copy. Without it the page says all the same.
'use strict';
const number = (text) => {
  const found = text.replace(/^[<=\u2264>]\s*/, '').match(/^-?\d+(\.\d+)?([eE][-+]?\d+)?/);
  return found ? Number(found[0]) : NaN;
};
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1; // what is no number last
  return Number.isNaN(x) ? a.localeCompare(b) : x - y;
};
const sortBy = (table, column, heading) => {
  const ascending = heading.getAttribute('aria-sort') !== 'ascending';
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
  const body = table.tBodies[0];
  const text = (row) => row.cells[column].textContent.trim();
  const rows = [...body.rows].sort((a, b) => compare(text(a), text(b)));
  body.append(...(ascending ? rows : rows.reverse()));
};
const shown = (table) => [...table.rows].filter((row) => !row.hidden)
  .map((row) => [...row.cells].map((cell) => cell.textContent.trim()).join('\t')).join('\n');
const copy = async (text, button) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // pages opened from a folder may not have the clipboard
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
};
for (const table of document.querySelectorAll('table')) {
  const name = table.parentElement.getAttribute('aria-label');
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement('button');
    button.textContent = heading.textContent;
    button.title = 'Sort by this column';
    button.addEventListener('click', () => sortBy(table, column, heading));
    heading.replaceChildren(button);
  });
  if (table.tBodies[0].rows.length < 5) continue;
  const tools = table.parentElement.previousElementSibling;
  const filter = document.createElement('input');
  filter.type = 'search';
  filter.placeholder = 'Filter rows';
  filter.setAttribute('aria-label', `Filter rows of ${name}`);
  filter.addEventListener('input', () => {
    const wanted = filter.value.toLowerCase();
    for (const row of table.tBodies[0].rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  });
  const button = document.createElement('button');
  button.textContent = 'Copy';
  button.setAttribute('aria-label', `Copy ${name}`);
  button.addEventListener('click', () => copy(shown(table), button));
  tools.prepend(filter, button);
}
// A rater's verdicts become the table that the group level reads.
const plain = (text) => text.replace(/\s+/g, ' ').trim() || 'n/a';
const ratings = (form) => [...form.querySelectorAll('fieldset')].flatMap((row) => {
  const chosen = row.querySelector('input:checked');
  if (!chosen) return [];
  const { session, modality } = row.dataset;
  return [[form.dataset.participant, session, modality, plain(row.querySelector('[name=reason]').value),
    plain(form.querySelector('[name=rater]').value), chosen.value].join('\t')];
});
for (const form of document.querySelectorAll('form.rating')) {
  form.hidden = false;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const rows = ratings(form);
    form.querySelector('output').textContent = rows.length ? '' : 'Rate something first.';
    if (!rows.length) return;
    const header = 'participant_id\tsession_id\tmodality\treason\trater\trating';
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([[header, ...rows, ''].join('\n')], { type: 'text/tab-separated-values' }));
    link.download = `${form.dataset.participant}_exclude.tsv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
// Two halves of a picture are laid over each other: a slider and a flicker tell what moved.
for (const figure of document.querySelectorAll('figure.frames')) {
  const image = figure.querySelector('img');
  const build = () => {
    if (image.naturalHeight < 200) return; // a sentence in place of two frames
    const box = document.createElement('div');
    box.className = 'overlay';
    box.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight / 2}`;
    const layers = ['top', 'bottom'].map((place) => {
      const layer = document.createElement('div');
      layer.style.backgroundImage = `url("${image.src}")`;
      layer.style.backgroundPosition = place;
      box.append(layer);
      return layer;
    });
    const tools = document.createElement('div');
    tools.className = 'tools';
    const slider = document.createElement('input');
    Object.assign(slider, { type: 'range', min: 0, max: 100, value: 50 });
    slider.setAttribute('aria-label', `From the first to the second image: ${image.alt}`);
    const show = () => { layers[1].style.clipPath = `inset(0 0 0 ${100 - slider.value}%)`; };
    slider.addEventListener('input', show);
    const button = document.createElement('button');
    Object.assign(button, { type: 'button', textContent: 'Flicker' });
    let timer = 0;
    button.addEventListener('click', () => {
      clearInterval(timer);
      if (timer) { timer = 0; button.textContent = 'Flicker'; return; }
      button.textContent = 'Stop';
      timer = setInterval(() => { slider.value = slider.value > 50 ? 0 : 100; show(); }, 700);
    });
    tools.append(slider, button);
    image.before(tools, box);
    figure.classList.add('still');
    show();
  };
  if (image.complete) build();
  else image.addEventListener('load', build);
}
