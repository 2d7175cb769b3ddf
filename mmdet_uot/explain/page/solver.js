'use strict';
/*
The scaling algorithm, balanced and unbalanced, in the log domain (Alg. 2).

A problem holds pairs, row by row (CSR): those of row i are start[i] to
start[i + 1]. A pair that is not there cannot be matched. Row i stands for
rowCount[i] predictions of equal costs. The last column is the background.
columnRange, if there is one, holds the least and the greatest mass of each.
*/

function solve(problem, numbers) {
  const {start, column, cost, rowMass, rowCount, columnMass} = problem;
  const {columnRange} = problem;
  const {epsilon, tau1, tau2, numIters, relaxation = 1} = numbers;
  const power = (tau) => (tau === Infinity ? 1 : tau / (tau + epsilon));
  const [power1, power2] = [power(tau1), power(tau2)];
  const rows = rowMass.length;
  const columns = columnMass.length;
  const live = columnMass.filter((mass) => mass > 0).length;
  // Line 4: v = 1 / (n + 1).
  const logV = columnMass.map((m) => (m > 0 ? -Math.log(live) : -Infinity));
  let last = logV.slice();
  const logU = new Float64Array(rows);
  const rowSum = new Float64Array(rows);

  const sumRows = () => {
    for (let i = 0; i < rows; i++) {
      let most = -Infinity;
      for (let k = start[i]; k < start[i + 1]; k++)
        most = Math.max(most, logV[column[k]] - cost[k] / epsilon);
      let sum = 0;
      if (most > -Infinity)
        for (let k = start[i]; k < start[i + 1]; k++)
          sum += Math.exp(logV[column[k]] - cost[k] / epsilon - most);
      rowSum[i] = most + Math.log(sum);
    }
  };
  const sumColumns = () => {
    const most = new Float64Array(columns).fill(-Infinity);
    const sum = new Float64Array(columns);
    for (let i = 0; i < rows; i++)
      for (let k = start[i]; k < start[i + 1]; k++)
        most[column[k]] =
          Math.max(most[column[k]], logU[i] - cost[k] / epsilon);
    for (let i = 0; i < rows; i++)
      for (let k = start[i]; k < start[i + 1]; k++) {
        const j = column[k];
        if (most[j] > -Infinity)
          sum[j] +=
            rowCount[i] * Math.exp(logU[i] - cost[k] / epsilon - most[j]);
      }
    return sum.map((value, j) => most[j] + Math.log(value));
  };
  // (mass / total)^power; nothing where there is no mass or no partner.
  const scaling = (mass, logTotal, exponent) =>
    mass > 0 && logTotal > -Infinity
      ? exponent * (Math.log(mass) - logTotal)
      : -Infinity;

  // Between its ends a range is no constraint: v = 1.
  const scalingOf = (j, logTotal) => {
    if (!columnRange || columnMass[j] === 0)
      return scaling(columnMass[j], logTotal, power2);
    const [least, most] = columnRange.map((end) => end[j]);
    const low = Math.max(scaling(least, logTotal, power2), 0);
    return most === Infinity
      ? low : Math.min(low, scaling(most, logTotal, power2));
  };

  for (let iteration = 0; iteration < numIters; iteration++) {
    sumRows(); // lines 6 and 7
    for (let i = 0; i < rows; i++)
      logU[i] = scaling(rowMass[i], rowSum[i], power1);
    const columnSum = sumColumns();
    const plain = logV.map((_, j) => scalingOf(j, columnSum[j]));
    // Over-relaxed: log v goes on from the last plain step beyond this one.
    const factor = iteration === numIters - 1
      ? 1 : Math.min(relaxation, 1 + iteration / (iteration + 3));
    for (let j = 0; j < columns; j++)
      logV[j] = factor > 1 && Number.isFinite(last[j])
        ? last[j] + factor * (plain[j] - last[j])
        : plain[j];
    last = plain;
  }
  return weigh(problem, logU, logV, epsilon);
}

/* The plan, N P: mass of each pair, of one prediction of each row, of each
   column. */
function weigh(problem, logU, logV, epsilon) {
  const {start, column, cost, rowMass, rowCount, columnMass} = problem;
  let count = 0;
  rowMass.forEach((mass, i) => (count += mass > 0 ? rowCount[i] : 0));
  const pair = new Float64Array(cost.length);
  const row = new Float64Array(rowMass.length);
  const columnTotal = new Float64Array(columnMass.length);
  for (let i = 0; i < row.length; i++)
    for (let k = start[i]; k < start[i + 1]; k++) {
      const j = column[k];
      pair[k] = count * Math.exp(logU[i] + logV[j] - cost[k] / epsilon);
      row[i] += pair[k];
      columnTotal[j] += rowCount[i] * pair[k];
    }
  return {pair, row, column: columnTotal};
}

/* Masses of N predictions and M ground truths that ask for k predictions
   each; with more than there are, they share them and the background has
   none. */
function massesOf(N, M, k) {
  const asked = M * k > N ? 1 / M : k / N;
  return [...Array(M).fill(asked), Math.max(0, (N - M * k) / N)];
}
