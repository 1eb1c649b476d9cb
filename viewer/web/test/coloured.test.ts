import { describe, expect, test } from 'vitest';
import { alignSamples } from '../src/data/align';
import type { Plan, TensorInfo } from '../src/data/types';
import { cellFacts, cellNumbers } from '../src/layout/celldata';
import { extremeShare } from '../src/layout/colour';
import { hasMoved, isMissing, magnitudesOf, numberAt, type Coloured } from '../src/layout/coloured';
import { plateScale, scaleOf } from '../src/layout/scales';
import { makeFrame, planOf } from './made';
import { tensorsOf } from './models';

const ONE = 0x3c00;
const TWO = 0x4000;
const FOUR = 0x4400;
const NAN = 0x7e00;

const [first, second, bias] = tensorsOf([
  ['a', [2, 2], 'other', 'mlp', null],
  ['b', [2, 2], 'other', 'mlp', null],
  ['bias', [2], 'bias', 'mlp', null],
]) as [TensorInfo, TensorInfo, TensorInfo];
const plan = planOf([
  { ...first, grid: [2, 2], samples: 4, offset: 0 },
  { ...second, grid: [2, 2], samples: 4, offset: 4 },
  { ...bias, grid: [1, 2], samples: 2, offset: 0 },
]);
const [a, b, vector] = plan.tensors as [TensorInfo, TensorInfo, TensorInfo];
const now = { ...makeFrame(9), values: Uint16Array.from([TWO, TWO, ONE, NAN, ONE, ONE, ONE, ONE]), vectors: Float32Array.from([3, 5]) };
const before = { ...makeFrame(2), values: Uint16Array.from([ONE, TWO, ONE, ONE, TWO, ONE, ONE, ONE]), vectors: Float32Array.from([1, 5.5]) };

const values: Coloured = { plan, frame: now, second: null, weights: [1, 0], scaled: undefined };
const change: Coloured = { ...values, second: alignSamples(before, plan, plan), weights: [1, -1] };

const numbers = (coloured: Coloured, tensor: TensorInfo) =>
  Array.from({ length: tensor.samples }, (_, index) => numberAt(coloured, tensor, tensor.offset + index));

describe('what is coloured', () => {
  test('the samples themselves', () => {
    expect(numbers(values, a)).toEqual([2, 2, 1, NaN]);
    expect(numbers(values, vector)).toEqual([3, 5]);
  });

  test('a change is taken place by place', () => {
    expect(numbers(change, a)).toEqual([1, 0, 0, NaN]);
    expect(numbers(change, vector)).toEqual([2, -0.5]);
  });

  test('on the way to the next snapshot both count by their share', () => {
    expect(numberAt({ ...change, weights: [0.25, 0.75] }, b, b.offset)).toBe(1.75);
  });

  test('a gradient has a power of two of its own, and vectors stand behind values', () => {
    const scaled = { samples: Uint16Array.from([ONE, TWO, FOUR, NAN, ONE, ONE, ONE, TWO, FOUR, ONE]), exponents: Int16Array.from([-4, 3, 1]) };
    const gradient: Coloured = { ...values, scaled };
    expect(numbers(gradient, a)).toEqual([1 / 16, 1 / 8, 1 / 4, NaN]);
    expect(numbers(gradient, b).at(-1)).toBe(16);
    expect(numbers(gradient, vector)).toEqual([8, 2]);
  });

  test('what was not recorded is missing, never zero', () => {
    expect(isMissing({ ...values, scaled: null }, a)).toBe(true);
    expect(isMissing({ ...change, second: null }, a)).toBe(true);
    expect(numberAt({ ...values, scaled: null }, a, 0)).toBeNull();
    expect(numberAt({ ...change, second: null }, a, 0)).toBeNull();
    expect(isMissing(change, a)).toBe(false);
  });
});

describe('another run', () => {
  const other: Plan = planOf([{ ...b, index: 0, offset: 0 }, { ...a, index: 1, offset: 4, shape: [4, 1], grid: [4, 1] }]);

  test('is compared by name where shape and grid are the same, and not where they differ', () => {
    const frame = { ...makeFrame(2), values: Uint16Array.from([TWO, TWO, TWO, FOUR, ONE, ONE, ONE, ONE]), vectors: new Float32Array(0) };
    const coloured: Coloured = { ...values, second: alignSamples(frame, other, plan), weights: [1, -1] };
    expect(numbers(coloured, b)).toEqual([-1, -1, -1, -3]);
    expect(isMissing(coloured, b)).toBe(false);
    expect(isMissing(coloured, a)).toBe(true);
    expect(isMissing(coloured, vector)).toBe(true);
  });
});

test('a tensor moved if the statistics of all of it say so', () => {
  const keys = ['rms', 'update_ratio'];
  const table = (...rms: number[]) => Float32Array.from(rms.flatMap((value) => [value, Math.random()]));
  const coloured: Coloured = {
    ...values,
    frame: { ...now, statistics: table(1, 2, NaN) },
    second: alignSamples({ ...before, statistics: table(1, 2.5, 3) }, plan, plan),
    weights: [1, -1],
  };
  expect([a, b, vector].map((tensor) => hasMoved(coloured, tensor, keys))).toEqual([false, true, false]);
});

describe('scales', () => {
  test('by rule', () => {
    const magnitudes = () => Float64Array.from({ length: 100 }, (_, index) => index);
    expect(scaleOf(magnitudes(), 'absolute')).toBe(99);
    expect(scaleOf(magnitudes(), 'quantile')).toBe(99);
    expect(scaleOf(Float64Array.from([0, 0, 0, 9]), 'tensor')).toBe(9);
    expect(scaleOf(Float64Array.from([...magnitudes(), 1e6]), 'quantile')).toBe(99);
    expect(scaleOf(new Float64Array(0), 'tensor')).toBe(0);
  });

  test('of values come from the whole tensor, of changes from the samples', () => {
    const statistics = Float32Array.from([0.5, 10, 0.5, 10, 0.5, 10]);
    const frame = { ...now, statistics };
    expect(plateScale({ ...values, frame }, a, ['rms', 'absmax'], 'tensor')).toBe(1.5);
    expect(plateScale({ ...values, frame }, a, ['rms', 'absmax'], 'absolute')).toBe(10);
    expect(plateScale({ ...values, frame }, a, ['rms', 'absmax'], 'quantile')).toBe(2);
    expect(plateScale({ ...change, frame }, a, ['rms', 'absmax'], 'absolute')).toBe(1);
  });

  test('NaN has no part in them', () => {
    expect([...magnitudesOf(values, a)]).toEqual([2, 2, 1]);
  });
});

describe('cells', () => {
  const cells = { mean: Uint16Array.from([ONE, 0xbc00, ONE, ONE]), absmax: Uint16Array.from([TWO, TWO, FOUR, NAN]), exponents: Int16Array.from([-2, 0, 1]) };
  const withCells: Plan = { ...plan, places: { ...plan.places, cells: [[1, 0, 4]] } };

  test('are in the unit of their tensor', () => {
    expect(cellNumbers(cells, withCells, 1, 1)).toEqual({ mean: -0.25, absmax: 4 });
    expect(cellNumbers(cells, withCells, 0, 1)).toBeNull();
  });

  test('have scales of their own, and a typical one for extremes', () => {
    expect(cellFacts(cells, withCells, 'mean', 'absolute').get(1)).toEqual({ exponent: -2, scale: 0.25 });
    expect(cellFacts(cells, withCells, 'absmax', 'absolute').get(1)).toEqual({ exponent: 1, scale: 8 });
    expect(cellFacts(cells, withCells, 'mean', 'tensor').get(1)!.scale, 'not wider than the largest').toBe(0.25);
    const outlier = { ...cells, absmax: Uint16Array.from([ONE, ONE, ONE, 0x7800]) };
    expect(cellFacts(outlier, withCells, 'absmax', 'tensor').get(1)!.scale, '4 times the typical cell').toBe(8);
    expect(cellFacts(cells, withCells, 'absmax', 'tensor').get(1)!.scale, 'not wider than the largest').toBe(8);
    expect(cellFacts(cells, withCells, 'extremes', 'tensor').get(1)!.scale).toBe(4);
    expect(cellFacts({ ...cells, absmax: null }, withCells, 'extremes', 'tensor').size).toBe(0);
  });

  test('of which one in eight is large have few extremes; one that is far beyond them stands out', () => {
    const count = 240;
    const absmax = Uint16Array.from({ length: count }, (_, index) => (index % 8 === 0 ? FOUR : ONE));
    absmax[5] = 0x7800;
    const many = { mean: new Uint16Array(count), absmax, exponents: Int16Array.from([0, 0, 0]) };
    const plenty: Plan = { ...plan, places: { ...plan.places, cells: [[1, 0, count]] } };
    const { scale } = cellFacts(many, plenty, 'extremes', 'tensor').get(1)!;
    expect(extremeShare(4, scale)).toBe(0);
    expect(extremeShare(32768, scale)).toBe(1);
  });
});
