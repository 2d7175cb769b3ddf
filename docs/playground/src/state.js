'use strict';
/* What the page shows, as plain numbers: boxes, options, link, config. */

const SIDE = 300;
const MOST = {predictions: 40, objects: 12};
const NUMBERS = {
  epsilon: {least: 0.001, most: 1, log: true},
  tau1: {least: 0.001, most: 1000, log: true, zero: true, infinity: true},
  tau2: {least: 0.001, most: 1000, log: true, zero: true, infinity: true},
  background: {least: 0, most: 1.5},
  mass: {least: 1, most: 10, whole: true},
  iterations: {least: 1, most: 1000, log: true, whole: true},
};
const STEPS = 400;
const BASE = {
  epsilon: 0.03, tau1: 100, tau2: 0.01, background: 0.5, mass: 1,
  iterations: 20,
};
const PRESETS = {
  'Unbalanced, the default of SSD': {},
  'Unbalanced, firmer objects (tau2 = 1)': {tau2: 1},
  'Balanced, as in DETR': {
    tau1: Infinity, tau2: Infinity, background: 1, iterations: 200,
  },
  'Nearly Hungarian (little epsilon)': {
    tau1: Infinity, tau2: Infinity, background: 1, epsilon: 0.002,
    iterations: 1000,
  },
  'Nearly closest object with threshold': {
    tau1: Infinity, tau2: 0, epsilon: 0.001,
  },
  'Nearly closest prediction': {tau1: 0, tau2: Infinity, epsilon: 0.001},
  'Softmax over objects': {tau1: Infinity, tau2: 0, epsilon: 0.1},
  'Softmax over predictions': {tau1: 0, tau2: Infinity, epsilon: 0.1},
  'One object, three predictions (mass 3)': {
    tau1: Infinity, tau2: Infinity, background: 1, mass: 3, iterations: 200,
  },
};
const SCENE = {
  objects: [[40, 50, 80, 70], [150, 60, 70, 90], [90, 190, 34, 30]],
  predictions: [
    [45, 55, 80, 70], [30, 40, 76, 74], [60, 62, 84, 66], [96, 58, 80, 84],
    [142, 54, 70, 92], [160, 80, 66, 80], [215, 70, 60, 80],
    [70, 170, 76, 70], [110, 196, 60, 50], [190, 200, 60, 60],
  ],
};

function startState() {
  return JSON.parse(JSON.stringify({numbers: BASE, ...SCENE}));
}

function toPosition(name, value) {
  const {least, most, log, zero, infinity} = NUMBERS[name];
  if (zero && value === 0) return 0;
  if (infinity && value === Infinity) return STEPS;
  const share = log
    ? Math.log(value / least) / Math.log(most / least)
    : (value - least) / (most - least);
  return Math.round((STEPS - 2) * share) + 1;
}

function fromPosition(name, position) {
  const {least, most, log, zero, infinity, whole} = NUMBERS[name];
  if (zero && position === 0) return 0;
  if (infinity && position === STEPS) return Infinity;
  const share = Math.min(Math.max((position - 1) / (STEPS - 2), 0), 1);
  const value = log
    ? least * (most / least) ** share
    : least + (most - least) * share;
  return whole ? Math.round(value) : Number(value.toPrecision(2));
}

function iouOf([x, y, w, h], [X, Y, W, H]) {
  const across = Math.min(x + w, X + W) - Math.max(x, X);
  const down = Math.min(y + h, Y + H) - Math.max(y, Y);
  const both = Math.max(across, 0) * Math.max(down, 0);
  return both / (w * h + W * H - both);
}

/* All pairs of predictions with objects and background; see solver.js. */
function problemOf({objects, predictions, numbers}) {
  const N = predictions.length;
  const columns = objects.length + 1;
  const cost = predictions.flatMap((box) => [
    ...objects.map((object) => 1 - iouOf(box, object)), numbers.background,
  ]);
  return {
    start: Array.from({length: N + 1}, (_, i) => i * columns),
    column: cost.map((_, k) => k % columns),
    cost,
    rowMass: Array(N).fill(1 / N),
    rowCount: Array(N).fill(1),
    columnMass: massesOf(N, objects.length, numbers.mass),
  };
}

function solveState(state) {
  const problem = problemOf(state);
  const numbers = {...state.numbers, numIters: state.numbers.iterations};
  return {problem, plan: solve(problem, numbers)};
}

function configOf({numbers}) {
  const written = (value) => (value === Infinity ? "'inf'" : String(value));
  const lines = [
    "assigner=dict(", "    _delete_=True,", "    type='UOTAssigner',",
    `    background_cost=${numbers.background},`,
    `    epsilon=${numbers.epsilon},`,
    `    tau1=${written(numbers.tau1)},`,
    `    tau2=${written(numbers.tau2)},`,
    `    gt_mass=${numbers.mass},`,
    `    num_iters=${numbers.iterations},`, ')',
  ];
  return lines.join('\n');
}

/* A link is untrusted text: whatever it holds, a state comes out. */
function toHash(state) {
  const boxes = (list) => list.map((box) => box.join(','));
  const numbers = Object.keys(NUMBERS).map((name) => state.numbers[name]);
  return [
    numbers.join(','), boxes(state.objects).join(';'),
    boxes(state.predictions).join(';'),
  ].join('|');
}

function fromHash(text) {
  const state = startState();
  const parts = String(text).replace(/^#/, '').split('|');
  if (parts.length !== 3) return state;
  parts[0].split(',').forEach((value, index) => {
    const name = Object.keys(NUMBERS)[index];
    if (name && isIn(name, Number(value))) state.numbers[name] = Number(value);
  });
  state.objects = readBoxes(parts[1], MOST.objects);
  state.predictions = readBoxes(parts[2], MOST.predictions);
  return state;
}

function isIn(name, value) {
  const {least, most, zero, infinity, whole} = NUMBERS[name];
  if ((zero && value === 0) || (infinity && value === Infinity)) return true;
  return value >= least && value <= most && (!whole || value % 1 === 0);
}

function readBoxes(text, most) {
  const boxes = text.split(';').map((box) => box.split(',').map(Number));
  return boxes
    .filter((box) => box.length === 4 && box.every(Number.isFinite))
    .slice(0, most)
    .map(fitBox);
}

function fitBox([x, y, w, h]) {
  const clamp = (value, least, most) =>
    Math.min(Math.max(value, least), most);
  const [width, height] = [clamp(w, 8, SIDE), clamp(h, 8, SIDE)];
  return [
    clamp(x, 0, SIDE - width), clamp(y, 0, SIDE - height), width, height,
  ].map(Math.round);
}
