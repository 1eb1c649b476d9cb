import { expect, test } from 'vitest';
import type { Plan, TensorInfo } from '../src/data/types';
import { fillExtremes } from '../src/layout/extremes';

function planOf(grids: [number, number][]): Plan {
  let offset = 0;
  const cells = grids.map(([rows, columns], index): [number, number, number] => {
    const place: [number, number, number] = [index, offset, rows * columns];
    offset += rows * columns;
    return place;
  });
  const tensors = grids.map((grid) => ({ grid }) as TensorInfo);
  return { tensors, places: { cells } } as unknown as Plan;
}

/** The definition, cell by cell. */
function around(absmax: Uint16Array, offset: number, [rows, columns]: [number, number], at: number, side: number): number {
  const first = (place: number) => Math.floor(place / side) * side;
  const top = first(Math.floor(at / columns));
  const left = first(at % columns);
  let largest = 0;
  for (let row = top; row < Math.min(top + side, rows); row += 1) {
    for (let column = left; column < Math.min(left + side, columns); column += 1) {
      largest = Math.max(largest, absmax[offset + row * columns + column]!);
    }
  }
  return largest;
}

test('each cell is told the largest magnitude of the block that it lies in, and of its own tensor alone', () => {
  const grids: [number, number][] = [
    [5, 7],
    [1, 9],
    [8, 8],
    [3, 1],
  ];
  const plan = planOf(grids);
  const count = grids.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  const absmax = Uint16Array.from({ length: count }, (_, index) => (index * 7919 + 13) % 31744);
  absmax[40] = 0x7c00;
  absmax[50] = 0x7e00;
  const texels = new Uint16Array(4 * count).fill(9);
  fillExtremes(texels, absmax, plan);
  for (const [tensor, offset, size] of plan.places.cells) {
    for (let at = 0; at < size; at += 1) {
      const [first, ...told] = texels.subarray(4 * (offset + at), 4 * (offset + at) + 4);
      expect(first, 'the mean is left alone').toBe(9);
      expect([...told]).toEqual([1, 2, 4].map((side) => around(absmax, offset, grids[tensor]!, at, side)));
    }
  }
});
