'use strict';
/* The report: choose an object, read why, move a slider. Texts of others are
   only ever set as text. */

const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
const ENOUGH = 0.9;
const LISTED = 300;
const STEPS = 400;
const SLIDERS = {
  epsilon: {least: 0.0005, most: 1, log: true},
  tau1: {least: 0.001, most: 1000, log: true, ends: true},
  tau2: {least: 0.001, most: 1000, log: true, ends: true},
  background: {least: 0, most: 1.5},
  iterations: {least: 1, most: 1000, log: true, whole: true},
};
const finite = (value) => (value === 'inf' ? Infinity : value);
const writtenNumber = (value) =>
  value === Infinity ? '∞' : Number(value.toPrecision(3)).toString();

let image = null;
let chosen = null;
let numbers = null;
let masses = [];
let asking = 0;

function element(name, text, parent, className) {
  const node = document.createElement(name);
  node.textContent = text ?? '';
  if (className) node.className = className;
  if (parent) parent.append(node);
  return node;
}

function shape(name, attributes, parent) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes))
    node.setAttribute(key, value);
  parent.append(node);
  return node;
}

const nameOf = (j) => `${j} ${image.objects[j].label}`;

function isLittle(j) {
  const object = image.objects[j];
  if (!changed()) return !object.served;
  return masses[j] < ENOUGH * object.asked;
}

function isMuch(j) {
  const {tooMuch, atMost} = image.objects[j];
  if (!changed()) return tooMuch;
  return atMost !== null && ENOUGH * masses[j] > finite(atMost);
}

const stateOf = (j) => (isLittle(j) ? 'little' : isMuch(j) ? 'much' : '');
const badness = (j) => ['', 'much', 'little'].indexOf(stateOf(j));

/* One mass, or a range. */
function writtenAsked({asked, atMost}) {
  if (atMost === null || atMost === asked) return asked.toFixed(2);
  if (atMost === 'inf') return `≥ ${asked.toFixed(2)}`;
  return `${asked.toFixed(2)} to ${atMost.toFixed(2)}`;
}

function changed() {
  return Boolean(numbers) && Object.keys(SLIDERS).some(
    (name) => numbers[name] !== finite(image.numbers[name])
  );
}

function open(index) {
  image = data.images[index];
  chosen = null;
  reset();
}

function reset() {
  numbers = image.numbers ? {} : null;
  if (numbers)
    for (const name of Object.keys(SLIDERS))
      numbers[name] = finite(image.numbers[name]);
  solveImage();
}

/* By the page with the exported costs, or by the solver behind the server. */
async function solveImage() {
  const ask = ++asking;
  masses = image.objects.map((object) => object.got);
  if (changed()) {
    masses = data.live ? await solveThere() : solveHere();
    if (ask !== asking) return;
  }
  show();
}

function solveHere() {
  const {problem} = image;
  const background = problem.columnMass.length - 1;
  const more = numbers.background - image.numbers.background;
  const cost = problem.cost.map((value, k) =>
    problem.column[k] === background ? value + more : value);
  const columnRange = problem.columnRange?.map((end) => end.map(finite));
  const plan = solve(
    {...problem, cost, columnRange},
    {
      ...numbers, numIters: numbers.iterations,
      relaxation: image.numbers.relaxation,
    }
  );
  return [...plan.column].slice(0, -1);
}

async function solveThere() {
  const asked = {image: data.images.indexOf(image)};
  for (const name of Object.keys(SLIDERS))
    asked[name] = numbers[name] === Infinity ? 'inf' : numbers[name];
  const answer = await fetch('/solve', {
    method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(asked),
  });
  if (!answer.ok) {
    byId('what-if').textContent = `The server says: ${await answer.text()}`;
    return masses;
  }
  return (await answer.json()).got;
}

function show() {
  showScene();
  showList();
  showDetails();
  showSliders();
}

function showScene() {
  const scene = byId('scene');
  const focused = document.activeElement?.dataset?.object;
  scene.replaceChildren();
  scene.setAttribute('viewBox', `0 0 ${image.width} ${image.height}`);
  shape('image', {
    href: image.picture, width: image.width, height: image.height,
  }, scene);
  // The small ones above, where a finger finds them.
  const area = ({box: [left, top, right, bottom]}) =>
    (right - left) * (bottom - top);
  const order = image.objects.map((_, j) => j);
  order.sort((a, b) => area(image.objects[b]) - area(image.objects[a]));
  for (const j of order) {
    const [left, top, right, bottom] = image.objects[j].box;
    const node = shape('rect', {
      x: left, y: top, width: Math.max(right - left, 0),
      height: Math.max(bottom - top, 0), tabindex: 0, role: 'button',
      'aria-label': nameOf(j), 'data-object': j,
      class: `object ${stateOf(j)}${j === chosen ? ' chosen' : ''}`,
    }, scene);
    node.addEventListener('click', () => choose(j));
    node.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      choose(j);
    });
  }
  if (chosen !== null) drawCandidates(scene);
  if (focused) scene.querySelector(`[data-object="${focused}"]`)?.focus();
  byId('note').textContent = image.note;
}

function drawCandidates(scene) {
  for (const {id, excluded} of image.objects[chosen].best) {
    const [left, top, right, bottom] = image.boxes[image.ids.indexOf(id)];
    shape('rect', {
      x: left, y: top, width: Math.max(right - left, 0),
      height: Math.max(bottom - top, 0),
      class: excluded ? 'candidate excluded' : 'candidate',
      'stroke-width': 2,
    }, scene);
  }
}

function showList() {
  const table = byId('list');
  table.replaceChildren();
  const head = table.insertRow();
  for (const text of ['object', 'asks', 'gets']) element('th', text, head);
  const share = (j) => masses[j] / (image.objects[j].asked || 1);
  const order = image.objects.map((_, j) => j);
  order.sort((a, b) => badness(b) - badness(a) || share(a) - share(b));
  for (const j of order.slice(0, LISTED)) {
    const row = table.insertRow();
    if (j === chosen) row.className = 'chosen';
    element('td', nameOf(j), row, 'name');
    element('td', writtenAsked(image.objects[j]), row);
    element('td', masses[j].toFixed(2), row, stateOf(j));
    row.addEventListener('click', () => choose(j));
  }
  if (order.length > LISTED)
    element('td', `and ${order.length - LISTED} more`, table.insertRow());
}

function choose(j) {
  chosen = j;
  show();
}

function showDetails() {
  const details = byId('details');
  details.replaceChildren();
  if (chosen === null) {
    element('p', 'No object is chosen.', details);
    return;
  }
  const object = image.objects[chosen];
  element('h2', `Object ${nameOf(chosen)}`, details);
  element('p', object.text, details);
  if (object.setting && numbers) {
    const button = element('button', 'Try that', details);
    button.addEventListener('click', () => apply(object.setting));
  }
  const frame = element('div', '', details, 'scroll');
  const table = element('table', '', frame);
  const names = Object.keys(object.best[0]?.terms ?? {});
  const head = table.insertRow();
  const columns = ['prediction', 'level', 'IoU', ...names, 'cost', 'mass',
    'background', 'goes to others'];
  for (const text of columns) element('th', text, head);
  for (const best of object.best) {
    const row = table.insertRow();
    const others = best.others.map(([k, mass]) => `${nameOf(k)}: ${mass}`);
    const cells = [best.id, best.level ?? '', best.iou,
      ...names.map((name) => best.terms[name]), writtenCost(best), best.mass,
      best.background, others.join(', ')];
    for (const text of cells) element('td', text, row);
  }
  element('p', `The best ${object.best.length} of ${image.total}, as in the ` +
    'config. Terms are match costs before they are brought to a unit.' +
    (object.best.some(({excluded}) => excluded)
      ? ' What is excluded comes last, the closest first.' : ''),
  details, 'hint');
}

const writtenCost = ({cost, excluded}) =>
  excluded ? `excluded by ${excluded}` : cost ?? '';

function apply(setting) {
  const rename = {background_cost: 'background', num_iters: 'iterations'};
  for (const [name, value] of Object.entries(setting))
    if (name === 'more_background')
      numbers.background = image.numbers.background + value;
    else numbers[rename[name] ?? name] = finite(value);
  solveImage();
}

function toPosition({least, most, log, ends}, value) {
  if (ends && value === 0) return 0;
  if (ends && value === Infinity) return STEPS;
  const share = log
    ? Math.log(value / least) / Math.log(most / least)
    : (value - least) / (most - least);
  return Math.round((STEPS - 2) * Math.min(Math.max(share, 0), 1)) + 1;
}

function fromPosition({least, most, log, ends, whole}, position) {
  if (ends && position === 0) return 0;
  if (ends && position === STEPS) return Infinity;
  const share = Math.min(Math.max((position - 1) / (STEPS - 2), 0), 1);
  const value = log
    ? least * (most / least) ** share
    : least + (most - least) * share;
  return whole ? Math.round(value) : Number(value.toPrecision(2));
}

function showSliders() {
  byId('reset').hidden = !numbers;
  byId('sliders').hidden = !numbers;
  if (!numbers) {
    byId('what-if').textContent =
      `The sliders are for the scaling algorithm; ${image.assigner} here ` +
      'takes another way.';
    return;
  }
  for (const [name, range] of Object.entries(SLIDERS)) {
    byId(`slider-${name}`).value = toPosition(range, numbers[name]);
    byId(`value-${name}`).textContent = writtenNumber(numbers[name]);
  }
  const states = image.objects.map((_, j) => stateOf(j));
  const countOf = (state) => states.filter((x) => x === state).length;
  const much = countOf('much');
  const by = data.live
    ? 'solved anew by the package'
    : `solved by this page with the best candidates of each object`;
  byId('what-if').textContent =
    `${countOf('little')} of ${image.objects.length} objects get too little` +
    (much ? `, ${much} too much` : '') +
    (changed() ? `; ${by}.` : ', as in the config.') +
    (changed() && image.view
      ? ' The head takes a hard view of the plan, which is not shown here.'
      : '');
}

function build() {
  data.images.forEach((entry, index) => {
    const option = element('option', entry.name, byId('images'));
    option.value = index;
  });
  byId('images').addEventListener('change', (event) =>
    open(Number(event.target.value)));
  byId('reset').addEventListener('click', reset);
  for (const [name, range] of Object.entries(SLIDERS)) {
    const row = element('label', '', byId('sliders'), 'slider');
    element('span', name, row);
    const input = element('input', '', row);
    Object.assign(input, {
      type: 'range', min: 0, max: STEPS, id: `slider-${name}`,
    });
    element('output', '', row).id = `value-${name}`;
    input.addEventListener('input', () => {
      numbers[name] = fromPosition(range, Number(input.value));
      solveImage();
    });
  }
  open(0);
}

if (data.images.length) build();
