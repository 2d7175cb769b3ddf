"""The solver of the pages and that of the package give the same plans."""

import json
import math
import random

import pytest
import torch
from helpers.tools import ROOT
from mmengine.structures import InstanceData

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.ot import MatchingProblem, sinkhorn

quickjs = pytest.importorskip(
    'quickjs', reason='quickjs-ng (requirements/tests.txt) runs the scripts'
)
SOLVER = ROOT / 'mmdet_uot/explain/page/solver.js'
STATE = ROOT / 'docs/playground/src/state.js'


@pytest.fixture(scope='module')
def js():
    engine = quickjs.Context()
    for path in (SOLVER, STATE):
        engine.eval(path.read_text())
    # JSON knows no infinity.
    engine.eval(
        'const fix = (k, x) => x === "inf" ? Infinity : x;'
        'const plain = (k, x) => ArrayBuffer.isView(x) ? [...x]'
        '  : x === Infinity ? "inf" : x;'
        'var run = (source) => JSON.stringify(eval(source), plain);'
        'const parse = (text) => JSON.parse(text, fix);'
    )

    run = engine.get('run')

    def js(function, *arguments):
        texts = ', '.join(
            f'parse({json.dumps(json.dumps(encode(x)))})' for x in arguments
        )
        return decode(json.loads(run(f'{function}({texts})')))

    return js


def encode(value):
    if isinstance(value, dict):
        return {k: encode(v) for k, v in value.items()}
    return 'inf' if value == math.inf else value


def decode(value):
    if isinstance(value, dict):
        return {k: decode(v) for k, v in value.items()}
    return math.inf if value == 'inf' else value


def pairs_of(cost, gt_mass, counts=None):
    """All pairs of costs (N, M + 1), row by row."""
    N, columns = len(cost), len(cost[0])
    counts = counts or [1] * N
    return dict(
        start=[i * columns for i in range(N + 1)],
        column=[*range(columns)] * N,
        cost=[x for row in cost for x in row],
        rowMass=[1 / sum(counts)] * N,
        rowCount=counts,
        columnMass=gt_mass,
    )


@pytest.mark.parametrize('tau1', [0, 0.3, 100, math.inf])
@pytest.mark.parametrize('tau2', [0, 0.01, 1, math.inf])
@pytest.mark.parametrize('epsilon', [0.003, 0.1])
def test_plans_are_those_of_python(js, epsilon, tau1, tau2):
    generator = torch.Generator().manual_seed(0)
    for N, M, mass in ((12, 3, 1), (3, 5, 1), (1, 0, 1), (15, 3, 2)):
        cost = torch.rand(N, M, generator=generator, dtype=torch.float64)
        problem = MatchingProblem.from_costs([cost], 0.5)
        gt_mass = js('massesOf', N, M, mass)
        problem = MatchingProblem(
            problem.cost, problem.pred_mass, torch.tensor([gt_mass]).double()
        )
        numbers = dict(epsilon=epsilon, tau1=tau1, tau2=tau2)
        plan = sinkhorn(problem, **numbers, num_iters=20)
        found = js(
            'solve',
            pairs_of(problem.cost[0].tolist(), gt_mass),
            dict(numbers, numIters=20),
        )
        weights = plan.weights[0]
        for mine, theirs in (
            (found['pair'], weights.flatten()),
            (found['row'], weights.sum(1)),
            (found['column'], weights.sum(0)),
        ):
            torch.testing.assert_close(
                torch.tensor(mine).double(), theirs, rtol=1e-5, atol=1e-5
            )


def test_over_relaxed_plans_are_those_of_python(js):
    cost = torch.rand(
        12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    problem = MatchingProblem.from_costs([cost], 0.5)
    for tau2 in (1.0, math.inf):
        numbers = dict(epsilon=0.02, tau1=math.inf, tau2=tau2, relaxation=1.8)
        plan = sinkhorn(problem, **numbers, num_iters=12)
        pairs = pairs_of(problem.cost[0].tolist(), problem.gt_mass[0].tolist())
        found = js('solve', pairs, dict(numbers, numIters=12))
        expected = plan.weights[0].flatten().tolist()
        assert found['pair'] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize('tau2', [0, 0.3, math.inf])
@pytest.mark.parametrize('ends', [(1, math.inf), (0, 2), (1, 3)])
def test_ranges_are_those_of_python(js, ends, tau2):
    least, at_most = ends
    cost = torch.rand(
        1, 12, 4, generator=torch.Generator().manual_seed(2)
    ).double()
    problem = MatchingProblem.from_masks(
        cost,
        torch.tensor([[True, True, False]]),
        torch.ones(1, 12, dtype=torch.bool),
        asked=least,
        at_most=at_most,
    )
    numbers = dict(epsilon=0.05, tau1=10, tau2=tau2)
    plan = sinkhorn(problem, **numbers, num_iters=20)
    pairs = pairs_of(cost[0].tolist(), problem.gt_mass[0].tolist())
    ranges = [
        [encode(value) for value in end]
        for end in problem.gt_range[:, 0].tolist()
    ]
    found = js(
        'solve', dict(pairs, columnRange=ranges), dict(numbers, numIters=20)
    )
    expected = plan.weights[0].flatten().tolist()
    assert found['pair'] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_counted_row_stands_for_equal_rows(js):
    cost, counts = [[0.2, 0.5], [0.6, 0.5]], [1, 5]
    rows = [cost[0], *[cost[1]] * 5]
    numbers = dict(epsilon=0.1, tau1=2, tau2=1, numIters=20)
    gt_mass = [1 / 6, 5 / 6]
    counted = js('solve', pairs_of(cost, gt_mass, counts), numbers)
    each = js('solve', pairs_of(rows, gt_mass), numbers)
    assert counted['column'] == pytest.approx(each['column'], rel=1e-12)
    assert counted['row'] == pytest.approx(each['row'][:2], rel=1e-12)


def test_masses_are_those_of_the_package(js):
    for N, M in ((12, 3), (3, 5), (4, 4), (2, 0)):
        problem = MatchingProblem.from_costs([torch.zeros(N, M)], 0.5)
        assert js('massesOf', N, M, 1) == pytest.approx(
            problem.gt_mass[0].tolist()
        )


def assigner_of(config):
    """What the lines of the page build."""
    options = {}
    exec(f'options[0] = dict({config})', {'options': options})
    options = options[0]['assigner']
    assert options.pop('_delete_')
    assert options.pop('type') == 'UOTAssigner'
    return UOTAssigner(**options)


def instances(boxes):
    boxes = torch.tensor(boxes).float().reshape(-1, 4)
    corners = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    return InstanceData(bboxes=corners, labels=labels)


def test_the_copied_config_gives_the_numbers_of_the_page(js):
    presets = js('(() => Object.keys(PRESETS))')
    assert len(presets) > 5
    for preset in presets:
        state = js(
            '((name) => { const state = startState();'
            'Object.assign(state.numbers, PRESETS[name]); return state; })',
            preset,
        )
        assigner = assigner_of(js('configOf', state))
        plan = assigner.match(
            [instances(state['predictions'])], [instances(state['objects'])]
        )
        shown = js('solveState', state)['plan']
        torch.testing.assert_close(
            torch.tensor(shown['pair']),
            plan.weights[0].flatten(),
            rtol=1e-3,
            atol=1e-5,
        )


def test_a_link_restores_the_state(js):
    draw = random.Random(0)
    for _ in range(20):
        state = js('startState')
        for name in state['numbers']:
            position = draw.choice([0, 400, draw.randrange(401)])
            state['numbers'][name] = js('fromPosition', name, position)
        state['predictions'] *= draw.randrange(3)
        assert js('fromHash', '#' + js('toHash', state)) == state


@pytest.mark.parametrize(
    'link',
    [
        '',
        '#a|b|c',
        '#nan,-1,2e9,<script>,1e99,0||;;;',
        '#0.1,1,1,0.5,1.5,20|1,2,3|' + ';'.join(['0,0,1e9,-5'] * 999),
        '#__proto__|0,0,Infinity,1|NaN,0,1,1',
    ],
)
def test_any_link_is_a_state_in_range(js, link):
    state = js('fromHash', link)
    for name, value in state['numbers'].items():
        assert js('isIn', name, value)
    boxes = state['predictions'] + state['objects']
    assert len(boxes) <= 52
    assert all(x >= 0 and x + w <= 300 and w >= 8 for x, _, w, _ in boxes)
    weights = js('solveState', state)['plan']['pair']
    assert all(math.isfinite(weight) for weight in weights)


def test_sliders_show_what_is_set(js):
    for name, value in js('(() => BASE)').items():
        position = js('toPosition', name, value)
        assert js('fromPosition', name, position) == pytest.approx(
            value, rel=0.05
        )
