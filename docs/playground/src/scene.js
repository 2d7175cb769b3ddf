'use strict';
/* The boxes and the mass between them, to look at and to take hold of. */

const COLORS = [
  '#0072b2', '#d55e00', '#009e73', '#e69f00', '#cc79a7', '#56b4e9',
];
const LEAST_SHOWN = 0.005;

const byId = (id) => document.getElementById(id);
const colorOf = (j) => COLORS[j % COLORS.length];
const nameOf = (kind, index) =>
  kind === 'objects' ? String.fromCharCode(65 + index) : String(index + 1);

function svg(name, attributes, parent) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes))
    node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

function drawScene(state, plan, chosen, describe) {
  const focused = document.activeElement?.dataset?.key;
  const scene = byId('scene');
  scene.replaceChildren();
  state.predictions.forEach((_, i) => drawBox('predictions', i));
  state.objects.forEach((_, j) => drawBox('objects', j));
  drawLinks(scene, state, plan, describe);
  if (focused) scene.querySelector(`[data-key="${focused}"]`)?.focus();

  function drawBox(kind, index) {
    const [x, y, width, height] = state[kind][index];
    const isObject = kind === 'objects';
    const name = nameOf(kind, index);
    const group = svg('g', {
      tabindex: 0, role: 'button', 'data-key': `${kind} ${index}`,
      'data-kind': kind, 'data-index': index,
      'aria-label': `${isObject ? 'object' : 'prediction'} ${name}`,
      class: chosen === `${kind} ${index}` ? 'chosen' : '',
    }, scene);
    const rect = svg('rect', {
      x, y, width, height,
      class: `box ${isObject ? 'object' : 'prediction'}`,
    }, group);
    if (isObject) rect.style.stroke = colorOf(index);
    svg('text', {x: x + 3, y: y + 12}, group).textContent = name;
    const corner = {x: x + width, y: y + height};
    svg('rect', {
      x: corner.x - 4, y: corner.y - 4, width: 8, height: 8, class: 'handle',
    }, group);
    svg('rect', {
      x: corner.x - 9, y: corner.y - 9, width: 18, height: 18, class: 'grip',
    }, group);
  }
}

function drawLinks(scene, state, plan, describe) {
  const columns = state.objects.length + 1;
  const middle = ([x, y, w, h]) => [x + w / 2, y + h / 2];
  plan.pair.forEach((mass, k) => {
    const [i, j] = [Math.floor(k / columns), k % columns];
    if (j === columns - 1 || mass < LEAST_SHOWN) return;
    const [x1, y1] = middle(state.predictions[i]);
    const [x2, y2] = middle(state.objects[j]);
    const line = svg('line', {
      x1, y1, x2, y2, stroke: colorOf(j), class: 'link',
      'stroke-width': 1 + 6 * Math.min(mass, 1.5),
      opacity: 0.25 + 0.75 * Math.min(mass, 1),
    }, scene);
    line.addEventListener('pointerenter', () => describe(i, j));
    line.addEventListener('pointerdown', () => describe(i, j));
    svg('circle', {cx: x1, cy: y1, r: 3, fill: colorOf(j)}, scene);
  });
}

function drawTable(state, plan, describe) {
  const columns = state.objects.length + 1;
  const table = byId('plan');
  table.replaceChildren();
  const cell = (row, tag, text, mass) => {
    const node = document.createElement(tag);
    node.textContent = text;
    if (mass !== undefined)
      node.style.background = `rgba(var(--mass), ${0.7 * Math.min(mass, 1)})`;
    row.append(node);
    return node;
  };
  const asked = state.predictions.length
    ? plan.asked.map((mass) => mass * state.predictions.length)
    : plan.asked.map(() => 0);
  const head = table.insertRow();
  ['', ...state.objects.map((_, j) => nameOf('objects', j)), 'background',
    'sent'].forEach((text) => cell(head, 'th', text));
  state.predictions.forEach((_, i) => {
    const row = table.insertRow();
    cell(row, 'th', nameOf('predictions', i));
    for (let j = 0; j < columns; j++) {
      const mass = plan.pair[i * columns + j];
      const node = cell(row, 'td', mass.toFixed(2), mass);
      node.addEventListener('pointerenter', () => describe(i, j));
      node.addEventListener('pointerdown', () => describe(i, j));
    }
    cell(row, 'td', plan.row[i].toFixed(2)).className = 'sum';
  });
  const foot = table.insertRow();
  cell(foot, 'th', 'gets / asks');
  plan.column.forEach((mass, j) => {
    const text = `${mass.toFixed(2)} / ${asked[j].toFixed(2)}`;
    const short = j < columns - 1 && mass < 0.9 * asked[j];
    cell(foot, 'td', text).className = short ? 'sum short' : 'sum';
  });
}
