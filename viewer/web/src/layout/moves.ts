/** How far tokens moved between two pictures in one basis. Pure. */

/**
 * Distance of each token between `from` and `to` (x, y, z of each), into `target` where it fits; -1 where one of
 * them is not finite.
 */
export function distancesMoved(from: Float32Array, to: Float32Array, target?: Float32Array): Float32Array {
  const tokens = Math.floor(Math.min(from.length, to.length) / 3);
  const moved = target?.length === tokens ? target : new Float32Array(tokens);
  for (let token = 0, at = 0; token < tokens; token += 1, at += 3) {
    const x = to[at]! - from[at]!;
    const y = to[at + 1]! - from[at + 1]!;
    const z = to[at + 2]! - from[at + 2]!;
    const distance = Math.sqrt(x * x + y * y + z * z);
    moved[token] = Number.isFinite(distance) ? distance : -1;
  }
  return moved;
}

export interface Way {
  iterations: Float64Array;
  points: Float32Array;
}

/** A way with one more step at its end; the same one if it has that step already. */
export function extended(way: Way, iteration: number, point: readonly [number, number, number]): Way {
  if (iteration <= (way.iterations.at(-1) ?? -1)) return way;
  const iterations = new Float64Array(way.iterations.length + 1);
  iterations.set(way.iterations);
  iterations[way.iterations.length] = iteration;
  const points = new Float32Array(way.points.length + 3);
  points.set(way.points);
  points.set(point, way.points.length);
  return { iterations, points };
}
