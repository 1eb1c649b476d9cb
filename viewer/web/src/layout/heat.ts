/** Histograms over time as a picture: which column belongs to an iteration, which bins are worth a row, what a bin is called. */

import { N_BINS, type Histograms } from '../data/histograms';
import type { Rgb } from './colour';

/** Bins below this one hold negative values. */
const FIRST_POSITIVE = N_BINS / 2;
const LEAST_EXPONENT = -24;

/** Index of the snapshot nearest to each of `width` places between the first and the last iteration. */
export function columnsOf(iterations: ArrayLike<number>, width: number): Int32Array {
  const columns = new Int32Array(width);
  const last = iterations.length - 1;
  if (last < 1) return columns;
  const [first, span] = [iterations[0]!, iterations[last]! - iterations[0]!];
  let at = 0;
  for (let x = 0; x < width; x += 1) {
    const iteration = first + ((x + 0.5) / width) * span;
    while (at < last && iterations[at + 1]! - iteration <= iteration - iterations[at]!) at += 1;
    columns[x] = at;
  }
  return columns;
}

/** The first and the last bin that ever held anything; null where none did. */
export function occupiedBins(counts: Uint32Array): [number, number] | null {
  let low = N_BINS;
  let high = -1;
  counts.forEach((count, index) => {
    if (count === 0) return;
    const bin = index % N_BINS;
    low = Math.min(low, bin);
    high = Math.max(high, bin);
  });
  return high < 0 ? null : [low, high];
}

/** Share of a snapshot's elements in each bin, (64,); zeros where it has none. */
export function sharesAt({ counts }: Histograms, at: number): Float64Array {
  const row = counts.subarray(at * N_BINS, (at + 1) * N_BINS);
  const total = row.reduce((sum, count) => sum + count, 0);
  return Float64Array.from(row, (count) => (total > 0 ? count / total : 0));
}

/** RGBA of width × (high - low + 1) pixels, the highest bin on top. `colour` of the square root of a share of the fullest bin. */
export function heatPixels(
  histograms: Histograms,
  [low, high]: readonly [number, number],
  width: number,
  colour: (strength: number) => Rgb,
): Uint8ClampedArray<ArrayBuffer> {
  const height = high - low + 1;
  const pixels = new Uint8ClampedArray(width * height * 4);
  const shares = Array.from(histograms.iterations, (_, at) => sharesAt(histograms, at));
  const fullest = shares.reduce((most, row) => row.reduce((a, b) => Math.max(a, b), most), 0);
  const columns = columnsOf(histograms.iterations, width);
  for (let x = 0; x < width; x += 1) {
    const row = shares[columns[x]!];
    for (let y = 0; y < height; y += 1) {
      const share = row?.[high - y] ?? 0;
      const [r, g, b] = colour(fullest > 0 ? Math.sqrt(share / fullest) : 0);
      pixels.set([r * 255, g * 255, b * 255, 255], (y * width + x) * 4);
    }
  }
  return pixels;
}

const DIGITS = '⁰¹²³⁴⁵⁶⁷⁸⁹';
const powerOfTwo = (exponent: number) =>
  `2${exponent < 0 ? '⁻' : ''}${[...String(Math.abs(exponent))].map((digit) => DIGITS[Number(digit)]).join('')}`;

/** The edge below a bin, as text: bin 33 begins at 2⁻²⁴. */
export function edgeText(bin: number): string {
  if (bin <= 0) return '−∞';
  if (bin >= N_BINS) return '∞';
  if (bin === FIRST_POSITIVE) return '0';
  return bin > FIRST_POSITIVE
    ? powerOfTwo(LEAST_EXPONENT + bin - FIRST_POSITIVE - 1)
    : `−${powerOfTwo(LEAST_EXPONENT + FIRST_POSITIVE - bin - 1)}`;
}

/** Edges to write beside bins low … high: zero if it is there, and a few others evenly apart. */
export function tickEdges([low, high]: readonly [number, number], most: number): number[] {
  const step = [1, 2, 4, 6, 8, 12, 16].find((one) => (high - low + 1) / one <= most) ?? N_BINS / 2;
  const ticks: number[] = [];
  for (let edge = low; edge <= high + 1; edge += 1) {
    // Counted from zero outward, so that both signs have the same powers.
    const isTick = edge === FIRST_POSITIVE || (Math.abs(edge - FIRST_POSITIVE) - 1) % step === step - 1;
    if (isTick && edge > 0 && edge < N_BINS) ticks.push(edge);
  }
  return ticks;
}
