'use strict';
/* What happens when something is touched. */

let state = fromHash(decodeURIComponent(location.hash));
let chosen = null;
let held = null;
let awaited = false;

const LABELS = {
  epsilon: 'epsilon', tau1: 'tau1 (predictions)', tau2: 'tau2 (objects)',
  background: 'background cost', mass: 'mass per object',
  iterations: 'iterations',
};

function show() {
  const {problem, plan} = solveState(state);
  const shown = {...plan, asked: problem.columnMass};
  const columns = state.objects.length + 1;
  const describe = (i, j) => {
    const cost = problem.cost[i * columns + j];
    const mass = plan.pair[i * columns + j].toFixed(3);
    const to = j === columns - 1
      ? `the background: cost ${cost}`
      : `object ${nameOf('objects', j)}: IoU ${(1 - cost).toFixed(3)}, cost ` +
        `${cost.toFixed(3)} (background ${state.numbers.background})`;
    byId('said').textContent =
      `Prediction ${i + 1} and ${to}, mass ${mass}`;
  };
  drawScene(state, shown, chosen, describe);
  drawTable(state, shown, describe);
  byId('config').textContent = configOf(state);
  byId('remove').disabled = !chosen;
  byId('add-prediction').disabled =
    state.predictions.length >= MOST.predictions;
  byId('add-object').disabled = state.objects.length >= MOST.objects;
  for (const name of Object.keys(NUMBERS)) {
    const value = state.numbers[name];
    byId(`slider-${name}`).value = toPosition(name, value);
    byId(`value-${name}`).textContent = value === Infinity ? '∞' : value;
  }
}

/* At most one solve per frame. */
function change() {
  if (awaited) return;
  awaited = true;
  requestAnimationFrame(() => {
    awaited = false;
    show();
    history.replaceState(null, '', `#${toHash(state)}`);
  });
}

function buildControls() {
  for (const name of Object.keys(NUMBERS)) {
    const row = document.createElement('label');
    row.className = 'slider';
    const label = document.createElement('span');
    label.textContent = LABELS[name];
    const input = document.createElement('input');
    Object.assign(input, {
      type: 'range', min: 0, max: STEPS, id: `slider-${name}`,
    });
    const value = document.createElement('output');
    value.id = `value-${name}`;
    input.addEventListener('input', () => {
      state.numbers[name] = fromPosition(name, Number(input.value));
      byId('preset').value = '';
      change();
    });
    row.append(label, input, value);
    byId('sliders').append(row);
  }
  for (const name of ['', ...Object.keys(PRESETS)]) {
    const option = document.createElement('option');
    [option.value, option.textContent] = [name, name || '(as set below)'];
    byId('preset').append(option);
  }
  byId('preset').addEventListener('change', (event) => {
    state.numbers = {...BASE, ...PRESETS[event.target.value]};
    change();
  });
}

function choose(kind, index) {
  chosen = kind && `${kind} ${index}`;
  change();
}

function add(kind) {
  state[kind].push([115, 115, 70, 70]);
  choose(kind, state[kind].length - 1);
}

function remove() {
  if (!chosen) return;
  const [kind, index] = chosen.split(' ');
  state[kind].splice(Number(index), 1);
  choose(null);
}

function toScene(event) {
  const scene = byId('scene');
  const frame = scene.getBoundingClientRect();
  return [
    ((event.clientX - frame.left) / frame.width) * SIDE,
    ((event.clientY - frame.top) / frame.height) * SIDE,
  ];
}

function moved([x, y, w, h], across, down, resizes) {
  return fitBox(
    resizes ? [x, y, w + across, h + down] : [x + across, y + down, w, h]
  );
}

byId('scene').addEventListener('pointerdown', (event) => {
  const group = event.target.closest('g');
  if (!group) {
    if (event.target === byId('scene')) choose(null);
    return;
  }
  const {kind, index} = group.dataset;
  held = {
    kind, index, from: toScene(event), box: state[kind][index],
    resizes: event.target.classList.contains('grip'),
  };
  byId('scene').setPointerCapture(event.pointerId);
  choose(kind, index);
});
// A finger on a box moves the box, beside the boxes it moves the page.
byId('scene').addEventListener('touchstart', (event) => {
  if (event.target.closest('g')) event.preventDefault();
}, {passive: false});
byId('scene').addEventListener('pointermove', (event) => {
  if (!held) return;
  const [x, y] = toScene(event);
  state[held.kind][held.index] = moved(
    held.box, x - held.from[0], y - held.from[1], held.resizes
  );
  change();
});
for (const end of ['pointerup', 'pointercancel'])
  byId('scene').addEventListener(end, () => { held = null; });
byId('scene').addEventListener('focusin', (event) => {
  const {kind, index} = event.target.dataset;
  if (kind && chosen !== `${kind} ${index}`) choose(kind, index);
});
byId('scene').addEventListener('keydown', (event) => {
  const {kind, index} = event.target.dataset;
  const step = {
    ArrowLeft: [-3, 0], ArrowRight: [3, 0], ArrowUp: [0, -3],
    ArrowDown: [0, 3],
  }[event.key];
  if (!kind) return;
  if (step) {
    state[kind][index] = moved(state[kind][index], ...step, event.shiftKey);
    change();
  } else if (event.key === 'Delete' || event.key === 'Backspace') {
    choose(kind, index);
    remove();
  } else return;
  event.preventDefault();
});

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page from a file may have no clipboard.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  byId('copied').textContent = `${what} copied`;
}

byId('add-prediction').addEventListener('click', () => add('predictions'));
byId('add-object').addEventListener('click', () => add('objects'));
byId('remove').addEventListener('click', remove);
byId('restart').addEventListener('click', () => {
  state = startState();
  choose(null);
});
byId('copy-config').addEventListener('click', () =>
  copy(configOf(state), 'Config'));
byId('copy-link').addEventListener('click', () =>
  copy(`${location.href.split('#')[0]}#${toHash(state)}`, 'Link'));
window.addEventListener('hashchange', () => {
  state = fromHash(decodeURIComponent(location.hash));
  choose(null);
});

buildControls();
show();
