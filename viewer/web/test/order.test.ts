import { describe, expect, test } from 'vitest';
import type { Norms } from '../src/data/further';
import type { Plan, Positions } from '../src/data/types';
import { NO_SHARE, orderOf, sampledNorms, sharesOf } from '../src/layout/order';
import { planOf } from './made';
import { tensorsOf } from './models';

const half = (value: number) => ({ 1: 0x3c00, 2: 0x4000, 4: 0x4400, 8: 0x4800 })[value]!;
const halves = (...values: number[]) => Uint16Array.from(values, half);

/** A matrix of 4 × 4 of which rows 0 and 3, columns 1 and 2 were sampled, with norms of all rows and columns. */
const [matrix] = tensorsOf([['w', [4, 4], 'other', 'mlp', null]]);
const sampled = { ...matrix!, grid: [2, 2] as [number, number], samples: 4 };
const positions: Positions = { values: Float64Array.from([1, 2, 13, 14]), vectors: new Float64Array(0) };
const norms: Norms = {
  rows: halves(1, 8, 2, 4),
  columns: halves(8, 2, 1, 4),
  gradient_rows: null,
  gradient_columns: halves(4, 4, 8, 4),
  exponents: Int16Array.from([1, 0, 0, -1]),
};
const places = { cells: [], heads: [], rows: [[0, 0, 4]], columns: [[0, 0, 4]] } as Plan['places'];
const plan: Plan = { ...planOf([sampled]), places };

describe('norms of sampled rows and columns', () => {
  test('are those of their own rows and columns, in their own unit', () => {
    expect([...sampledNorms(plan, sampled, positions, norms, 'rows', false)!]).toEqual([2, 8]);
    expect([...sampledNorms(plan, sampled, positions, norms, 'columns', false)!]).toEqual([2, 1]);
    expect([...sampledNorms(plan, sampled, positions, norms, 'columns', true)!]).toEqual([2, 4]);
  });

  test('are unknown without positions, and where they were not recorded', () => {
    expect(sampledNorms(plan, sampled, null, norms, 'rows', false)).toBeNull();
    expect(sampledNorms(plan, sampled, positions, norms, 'rows', true)).toBeNull();
  });

  test('of the sampled rows alone need no positions', () => {
    const few: Plan = { ...plan, places: { ...places, rows: [[0, 2, 2]] } };
    expect([...sampledNorms(few, sampled, null, norms, 'rows', false)!]).toEqual([4, 8]);
  });

  test('of an embedding are found by token, where the token was recorded', () => {
    const tokens: Plan = { ...plan, places: { ...places, rows: [[0, 0, 3]] }, embedding_tokens: [1, 2, 3] };
    const found = sampledNorms(tokens, sampled, positions, norms, 'rows', false)!;
    expect(found[0]).toBeNaN();
    expect(found[1]).toBe(4);
  });
});

describe('orders', () => {
  test('begin with the largest; what has no norm comes last, equals keep their order', () => {
    expect(orderOf(Float64Array.from([1, NaN, 3, 1, 9]), 5)).toEqual([4, 2, 0, 3, 1]);
    expect(orderOf(null, 3)).toEqual([0, 1, 2]);
  });

  test('of parts stay within them', () => {
    expect(orderOf(Float64Array.from([1, 2, 3, 9, 4, 5]), 6, [0, 2, 4, 6])).toEqual([1, 0, 3, 2, 5, 4]);
  });
});

test('shares are of the largest finite norm', () => {
  expect([...sharesOf(Float64Array.from([0, 2, 4, NaN, Infinity]), 5)]).toEqual([0, 32767, NO_SHARE - 1, NO_SHARE, NO_SHARE]);
  expect([...sharesOf(null, 2)]).toEqual([NO_SHARE, NO_SHARE]);
});
