import { expect, test } from 'vitest';
import { isLost, movingSamples, sampleAt } from '../src/data/samples';
import type { Frame, Plan, TensorInfo } from '../src/data/types';
import { makeFrame } from './made';
import { tensorsOf } from './models';

const ONE = 0x3c00;
const TWO = 0x4000;

const [moves, still, bias] = tensorsOf([
  ['moves', [8, 8], 'other', 'other', null],
  ['still', [8, 8], 'other', 'other', null],
  ['bias', [64], 'bias', 'other', null],
]) as [TensorInfo, TensorInfo, TensorInfo];
bias.offset = 0;

const plan: Plan = {
  number: 0,
  values: 128,
  vectors: 64,
  frozen_values: 64,
  frozen_vectors: 64,
  tensors: [moves, still, bias],
  embedding_tokens: null,
  places: { cells: [], rows: [], columns: [], heads: [] },
  neighbour_tokens: null,
  frozen: { values: new Uint16Array(64).fill(TWO), vectors: new Float32Array(64).fill(0.5) },
};
const frame: Frame = { ...makeFrame(3), values: new Uint16Array(64).fill(ONE), vectors: new Float32Array(0) };

test('a tensor that moves is read from the snapshot, one that does not from the plan', () => {
  expect(movingSamples(plan, 'values')).toBe(64);
  expect(movingSamples(plan, 'vectors')).toBe(0);
  expect(sampleAt(frame, plan, moves, 63)).toBe(1);
  expect(sampleAt(frame, plan, still, 64)).toBe(2);
  expect(sampleAt(frame, plan, bias, 63)).toBe(0.5);
});

test('samples that could not be read are no numbers, and only their tensors are lost', () => {
  const damaged = { ...plan, frozen: null };
  expect(sampleAt(frame, damaged, still, 64)).toBeNull();
  expect(sampleAt(frame, damaged, moves, 0)).toBe(1);
  expect([moves, still, bias].map((tensor) => isLost(damaged, tensor))).toEqual([false, true, true]);
  expect([moves, still, bias].some((tensor) => isLost(plan, tensor))).toBe(false);
});

test('a snapshot without the array has no sample', () => {
  expect(sampleAt({ ...frame, values: null }, plan, moves, 0)).toBeNull();
});
