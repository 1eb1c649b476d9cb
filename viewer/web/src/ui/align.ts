/** Several series on one common x axis, as uPlot wants them. */

export interface Curve {
  iterations: ArrayLike<number>;
  values: ArrayLike<number>;
}

export type Aligned = [number[], ...(number | null)[][]];

/** The union of all iterations; null where a series has no value. NaN and inf become gaps too. */
export function align(curves: readonly Curve[]): Aligned {
  const first = curves[0];
  if (curves.length === 1 && first) {
    return [Array.from(first.iterations), Array.from(first.values, finiteOrNull)];
  }
  const heads = curves.map(() => 0);
  const x: number[] = [];
  const ys: (number | null)[][] = curves.map(() => []);
  for (;;) {
    let next = Infinity;
    curves.forEach((curve, index) => {
      if (heads[index]! < curve.iterations.length) next = Math.min(next, curve.iterations[heads[index]!]!);
    });
    if (next === Infinity) return [x, ...ys];
    x.push(next);
    curves.forEach((curve, index) => {
      const head = heads[index]!;
      const here = head < curve.iterations.length && curve.iterations[head] === next;
      ys[index]!.push(here ? finiteOrNull(curve.values[head]!) : null);
      if (here) heads[index] = head + 1;
    });
  }
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/**
 * Place of an iteration among the recorded ones, as a fraction: 2.5 is half-way from the third to the
 * fourth. So each snapshot has the same room on the timeline, however sparse the schedule becomes.
 */
export function fractionalIndex(iterations: readonly number[], iteration: number): number {
  const last = iterations.length - 1;
  if (last < 0 || iteration <= iterations[0]!) return 0;
  if (iteration >= iterations[last]!) return last;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (iterations[middle]! <= iteration) low = middle;
    else high = middle;
  }
  return low + (iteration - iterations[low]!) / (iterations[high]! - iterations[low]!);
}
