import { encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { decodeHistograms, N_BINS, type Histograms } from '../src/data/histograms';
import { columnsOf, edgeText, heatPixels, heatRows, occupiedBins, rowText, sharesAt, ticksOf, type HeatRow } from '../src/layout/heat';

function made(iterations: number[], rows: Record<number, number>[]): Histograms {
  const counts = new Uint32Array(rows.length * N_BINS);
  rows.forEach((row, at) => Object.entries(row).forEach(([bin, count]) => (counts[at * N_BINS + Number(bin)] = count)));
  return { iterations: Float64Array.from(iterations), counts, damaged: [] };
}

const grey = (strength: number): [number, number, number] => [strength, strength, strength];

describe('an answer of the server', () => {
  const raw = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const body = (iterations: number[], counts: number) => {
    const bytes = encode({
      iterations: raw(BigInt64Array.from(iterations, BigInt)),
      counts: raw(new Uint32Array(counts).fill(4_000_000_000)),
      damaged: [15],
    });
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  };

  test('has 64 counts for each snapshot', () => {
    const { iterations, counts, damaged } = decodeHistograms(body([0, 8], 128));
    expect([[...iterations], counts.length, counts[5], damaged]).toEqual([[0, 8], 128, 4_000_000_000, [15]]);
  });

  test('with too few is refused', () => expect(() => decodeHistograms(body([0, 8], 64))).toThrow(/64 counts for 2/));
});

test('each column of the picture shows the nearest snapshot, although they are not evenly apart', () => {
  expect([...columnsOf([0, 1, 2, 100], 10)]).toEqual([2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
  expect([...columnsOf([0, 50, 100], 4)]).toEqual([0, 1, 1, 2]);
  expect([...columnsOf([7], 3)]).toEqual([0, 0, 0]);
});

test('only bins that ever held something have a row, the highest on top', () => {
  const histograms = made([0, 10], [{ 30: 1, 33: 3 }, { 33: 4 }]);
  const bins = occupiedBins(histograms.counts)!;
  expect(bins).toEqual([30, 33]);
  expect(sharesAt(histograms, 0)[33]).toBe(0.75);
  const pixels = heatPixels(histograms, heatRows(histograms, bins), 2, grey);
  const red = (x: number, y: number) => pixels[(y * 2 + x) * 4];
  expect(pixels.length).toBe(2 * 4 * 4);
  expect([red(0, 0), red(1, 0)]).toEqual([Math.round(Math.sqrt(0.75) * 255), 255]);
  expect([red(0, 1), red(0, 3), red(1, 3)]).toEqual([0, Math.round(0.5 * 255), 0]);
});

test('a tensor that never held a finite number has no picture', () => {
  expect(occupiedBins(new Uint32Array(128))).toBeNull();
  expect([...sharesAt(made([0], [{}]), 0)].every((share) => share === 0)).toBe(true);
});

test('bins are named as docs/FORMAT.md has them', () => {
  expect([0, 1, 31, 32, 33, 34, 57, 63, 64].map(edgeText)).toEqual([
    '−∞', '−2⁶', '−2⁻²⁴', '0', '2⁻²⁴', '2⁻²³', '2⁰', '2⁶', '∞',
  ]);
});

const each = (low: number, high: number): HeatRow[] =>
  Array.from({ length: high - low + 1 }, (_, at): HeatRow => [high - at, high - at + 1]);

test.each([[28, 36], [0, 63], [40, 60], [3, 20], [32, 32]] as [number, number][])(
  'ticks beside bins %i to %i are few, and as far on one side of zero as on the other',
  (low, high) => {
    const ticks = ticksOf(each(low, high), 6);
    expect(ticks.length).toBeLessThanOrEqual(8);
    const texts = ticks.map(({ text }) => text);
    for (const { text, y } of ticks) {
      expect(y).toBeGreaterThan(0);
      expect(y).toBeLessThanOrEqual(high - low + 1);
      expect(text).toBe(edgeText(high + 1 - y));
      const mirrored = 64 - (high + 1 - y);
      if (mirrored >= low && mirrored <= high) expect(texts).toContain(edgeText(mirrored));
    }
    if (low <= 32 && high >= 32) expect(texts).toContain('0');
  },
);

describe('exponents in which next to nothing lies', () => {
  const rows = { 22: 5, 24: 500, 26: 3, 31: 1, 33: 1, 38: 3, 40: 500, 42: 5 };
  const histograms = made([0, 10], [rows, rows]);

  test('are one row around zero, and the picture and its axis say so', () => {
    const picture = heatRows(histograms, occupiedBins(histograms.counts)!);
    const [from, to] = picture.find(([a, b]) => b - a > 1)!;
    expect(64 - from).toBe(to);
    expect(from).toBeLessThan(27);
    expect(picture.filter(([a]) => a === 24)).toEqual([[24, 25]]);
    expect(rowText([from, to])).toBe(`within ±${edgeText(to)}`);
    expect(ticksOf(picture, 6).map(({ text }) => text)).toContain(`±${edgeText(to)}`);
    expect(picture.length).toBeLessThan(14);
    const covered = picture.reduce((bins, [a, b]) => new Set([...bins, ...Array.from({ length: b - a }, (_, at) => a + at)]), new Set<number>());
    expect(covered.size, 'no bin is left out').toBe(21);
  });

  test('keep their rows where a single snapshot has much there', () => {
    const once = made([0, 10], [rows, { ...rows, 32: 600 }]);
    expect(heatRows(once, occupiedBins(once.counts)!)).toEqual(each(22, 42));
  });

  test('below positive numbers alone are named as what they are', () => {
    const positive = made([0], [{ 33: 1, 58: 500, 59: 400 }]);
    const quiet = heatRows(positive, [33, 59]).find(([a, b]) => b - a > 1)!;
    expect(rowText(quiet)).toBe(`under ${edgeText(quiet[1])}`);
    expect(quiet[0]).toBe(33);
  });
});
