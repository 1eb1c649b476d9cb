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

/** Bins from … to (without), that share a row of the picture. */
export type HeatRow = readonly [from: number, to: number];

/** So few elements of any snapshot may lie in the bins around zero that become one row. */
const MOST_QUIET = 0.01;
/** That row is as high as so many others, so that it can be told from them. */
const QUIET_HEIGHT = 2;

/**
 * Rows of the picture, the highest first: one for each bin, and one for all of those around zero in which next to
 * nothing ever lay. Half of the exponents are smaller than any number that matters.
 */
export function heatRows({ iterations, counts }: Histograms, [low, high]: readonly [number, number]): HeatRow[] {
  const most = Math.max(FIRST_POSITIVE - low, high + 1 - FIRST_POSITIVE) - 2;
  let quiet = Math.max(most, 0);
  for (let at = 0; at < iterations.length; at += 1) {
    const row = counts.subarray(at * N_BINS, (at + 1) * N_BINS);
    const allowed = MOST_QUIET * row.reduce((sum, count) => sum + count, 0);
    let within = 0;
    for (let reach = 0; reach < quiet; reach += 1) {
      within += row[FIRST_POSITIVE + reach]! + row[FIRST_POSITIVE - 1 - reach]!;
      if (within > allowed) quiet = reach;
    }
  }
  const from = Math.max(FIRST_POSITIVE - quiet, low);
  const to = Math.min(FIRST_POSITIVE + quiet, high + 1);
  const rows: HeatRow[] = [];
  for (let bin = high; bin >= low; bin -= 1) {
    if (to - from <= QUIET_HEIGHT || bin < from || bin >= to) rows.push([bin, bin + 1]);
    else if (bin === from) for (let copy = 0; copy < QUIET_HEIGHT; copy += 1) rows.push([from, to]);
  }
  return rows;
}

/** Where the numbers of a row lie. */
export function rowText([from, to]: HeatRow): string {
  if (to - from === 1) return `from ${edgeText(from)} to ${edgeText(to)}`;
  if (from >= FIRST_POSITIVE) return `under ${edgeText(to)}`;
  return to <= FIRST_POSITIVE ? `above ${edgeText(from)}` : `within ±${edgeText(to)}`;
}

/** Share of a snapshot's elements in each bin, (64,); zeros where it has none. */
export function sharesAt({ counts }: Histograms, at: number): Float64Array {
  const row = counts.subarray(at * N_BINS, (at + 1) * N_BINS);
  const total = row.reduce((sum, count) => sum + count, 0);
  return Float64Array.from(row, (count) => (total > 0 ? count / total : 0));
}

/** RGBA of width × rows pixels. `colour` of the square root of a share of the fullest bin. */
export function heatPixels(
  histograms: Histograms,
  rows: readonly HeatRow[],
  width: number,
  colour: (strength: number) => Rgb,
): Uint8ClampedArray<ArrayBuffer> {
  const height = rows.length;
  const pixels = new Uint8ClampedArray(width * height * 4);
  const shares = Array.from(histograms.iterations, (_, at) => {
    const bins = sharesAt(histograms, at);
    return rows.map(([from, to]) => bins.subarray(from, to).reduce((sum, share) => sum + share, 0));
  });
  const fullest = shares.reduce((most, row) => row.reduce((a, b) => Math.max(a, b), most), 0);
  const columns = columnsOf(histograms.iterations, width);
  for (let x = 0; x < width; x += 1) {
    const column = shares[columns[x]!];
    for (let y = 0; y < height; y += 1) {
      const share = column?.[y] ?? 0;
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

export interface Tick {
  text: string;
  /** rows from the top */
  y: number;
}

/** What is written beside the rows: zero or what is around it, and a few powers of two evenly apart outward. */
export function ticksOf(rows: readonly HeatRow[], most: number): Tick[] {
  const step = [1, 2, 4, 6, 8, 12, 16].find((one) => rows.length / one <= most) ?? N_BINS / 2;
  const first = rows.findIndex(([from, to]) => to - from > 1);
  const ticks: Tick[] = [];
  if (first >= 0) {
    const [from, to] = rows[first]!;
    const reach = edgeText(Math.max(to, N_BINS - from));
    ticks.push({ text: `±${reach}`, y: first + QUIET_HEIGHT / 2 });
  }
  rows.forEach((row, y) => {
    const edge = row[0];
    if (row[1] - edge > 1) return;
    const isZero = edge === FIRST_POSITIVE && first < 0;
    // Counted from zero outward, so that both signs have the same powers.
    const isTick = isZero || (Math.abs(edge - FIRST_POSITIVE) - 1) % step === step - 1;
    const isNear = first >= 0 && y + 1 > first - 1.5 && y + 1 < first + QUIET_HEIGHT + 1.5;
    if (isTick && !isNear && edge > 0 && edge < N_BINS) ticks.push({ text: edgeText(edge), y: y + 1 });
  });
  return ticks;
}
