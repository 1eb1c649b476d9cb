import { describe, expect, test } from 'vitest';
import type { Norms } from '../src/data/further';
import type { Plan, Positions, TensorInfo } from '../src/data/types';
import { changeOf, extremes, rowNorms, type RowNorm } from '../src/layout/rownorms';

/** float16 bits of 0, 1, 2, 3, 4. */
const HALF = [0x0000, 0x3c00, 0x4000, 0x4200, 0x4400];

const tensor = (grid: [number, number], shape: number[], role = 'mlp_up') =>
  ({ index: 3, shape, grid, role, array: 'values', offset: 2, samples: grid[0] * grid[1] }) as TensorInfo;

const plan = (count: number, tokens: number[] | null = null) =>
  ({ places: { cells: [], rows: [[1, 0, 2], [3, 2, count]], columns: [], heads: [] }, embedding_tokens: tokens }) as unknown as Plan;

function norms(values: number[], exponent = 0): Norms {
  return {
    rows: Uint16Array.from([0, 0, ...values.map((value) => HALF[value]!)]),
    columns: null,
    gradient_rows: null,
    gradient_columns: null,
    exponents: Int16Array.from([0, 0, 0, 0, exponent, 0, 0, 0]),
  };
}

describe('norms of rows', () => {
  test('of a small matrix are all of them, in their own power of two', () => {
    const rows = rowNorms(plan(3), tensor([3, 2], [3, 2]), null, norms([1, 4, 2], -3), norms([1, 2, 0], -2));
    expect(rows).toEqual([
      { row: 0, norm: 0.125, before: 0.25, drawn: 0 },
      { row: 1, norm: 0.5, before: 0.5, drawn: 1 },
      { row: 2, norm: 0.25, before: 0, drawn: 2 },
    ]);
  });

  test('of a sampled matrix say which row is drawn where', () => {
    const positions: Positions = { values: Float64Array.from([9, 9, 10, 15, 31, 38]), vectors: new Float64Array(0) };
    const big = tensor([2, 2], [4, 10]);
    const rows = rowNorms(plan(4), big, positions, norms([1, 2, 3, 4]), null)!;
    expect(rows.map(({ drawn }) => drawn)).toEqual([null, 0, null, 1]);
    expect(rowNorms(plan(4), big, null, norms([1, 2, 3, 4]), null)!.every(({ drawn }) => drawn === null)).toBe(true);
  });

  test('of a long embedding are those of the recorded tokens', () => {
    const long = tensor([2, 1], [50_000, 1], 'token_embedding');
    const positions: Positions = { values: Float64Array.from([0, 0, 7, 40_000]), vectors: new Float64Array(0) };
    const rows = rowNorms(plan(3, [7, 99, 40_000]), long, positions, norms([1, 2, 3]), null)!;
    expect(rows.map(({ row, drawn }) => [row, drawn])).toEqual([[7, 0], [99, null], [40_000, 1]]);
  });

  test('are null for a tensor that has none', () => {
    expect(rowNorms(plan(3), { ...tensor([3, 2], [3, 2]), index: 9 }, null, norms([1, 2, 3]), null)).toBeNull();
  });
});

const row = (index: number, norm: number, before: number | null): RowNorm => ({ row: index, norm, before, drawn: index });

test('the largest come first, the smallest from the other end, and none is in both', () => {
  const rows = [row(0, 3, null), row(1, NaN, null), row(2, 1, null), row(3, 2, null)];
  const { largest, smallest, changed } = extremes(rows, 2);
  expect(largest.map((one) => one.row)).toEqual([0, 3]);
  expect(smallest.map((one) => one.row)).toEqual([2]);
  expect(changed).toEqual([]);
});

test('a row that halved changed as much as one that doubled', () => {
  const rows = [row(0, 1.5, 1), row(1, 1, 2.2), row(2, 1, 1), row(3, 2, 1), row(4, 1, 0)];
  expect(extremes(rows, 3).changed.map((one) => one.row)).toEqual([1, 3, 0]);
  expect(changeOf(row(0, 1.5, 1))).toBe(0.5);
  expect(changeOf(row(0, 1, 0))).toBeNull();
});
