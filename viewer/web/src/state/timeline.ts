/** Searching in ascending lists of iterations. */

/** Index of the newest iteration that is not after the cursor; -1 if all are after it. */
export function indexAtOrBefore(iterations: ArrayLike<number>, cursor: number): number {
  let low = 0;
  let high = iterations.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (iterations[middle]! <= cursor) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The newest of a run's snapshots that is not after the cursor, or its first one. */
export function targetOf({ iterations }: { iterations: readonly number[] }, cursor: number): number | null {
  return iterations[Math.max(indexAtOrBefore(iterations, cursor), 0)] ?? null;
}

/** Index of the iteration nearest to the wish, the earlier of two equally near; -1 if there are none. */
export function nearestIndex(iterations: ArrayLike<number>, wish: number): number {
  const before = indexAtOrBefore(iterations, wish);
  if (before < 0) return iterations.length > 0 ? 0 : -1;
  const after = before + 1;
  if (after >= iterations.length) return before;
  return iterations[after]! - wish < wish - iterations[before]! ? after : before;
}

/** Both lists in one, ascending, without repetition. Appending, the usual case, is one pass. */
export function mergeIterations(a: readonly number[], b: readonly number[]): number[] {
  if (a.length === 0) return [...b];
  if (b.length === 0 || a === b) return [...a];
  if (a.at(-1)! < b[0]!) return [...a, ...b];
  const merged: number[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const next = Math.min(a[i] ?? Infinity, b[j] ?? Infinity);
    if (a[i] === next) i += 1;
    if (b[j] === next) j += 1;
    merged.push(next);
  }
  return merged;
}
