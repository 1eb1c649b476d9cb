import { expect, test } from 'vitest';
import type { TensorInfo } from '../src/data/types';
import type { Box } from '../src/layout/boxes';
import { cellAt } from '../src/layout/cells';
import { tensorsOf } from './models';

const plain: Box = {
  tensor: 0,
  x: 0,
  y: 0,
  width: 8,
  height: 4,
  transposed: false,
  block: 'other',
  layer: null,
  label: '',
  split: null,
  slices: null,
  tile: null,
  ghost: false,
};

function tensor(shape: number[], grid: [number, number]): TensorInfo[] {
  return [{ ...tensorsOf([['weight', shape, 'other', 'other', null]])[0]!, grid }];
}

test('rows run down and columns to the right, the other way round on a transposed plate', () => {
  const tensors = tensor([4, 8], [4, 8]);
  expect(cellAt([plain], tensors, { x: 3.5, y: 1.5 })).toEqual({ plate: 0, row: 0, column: 7 });
  const turned = tensor([8, 4], [8, 4]);
  expect(cellAt([{ ...plain, transposed: true }], turned, { x: 3.5, y: 1.5 })).toEqual({ plate: 0, row: 7, column: 0 });
});

test('a slice has the addresses of its own rows, and there is nothing between two slices', () => {
  const tensors = tensor([6, 8], [6, 8]);
  const slice = (label: string, x: number, row: number) => ({
    ...{ x, y: 0, width: 3, height: 4, row, rows: 3, column: 0, columns: 8, label },
  });
  const box = { ...plain, slices: [slice('Q', -2.5, 0), slice('K', 2.5, 3)] };
  expect(cellAt([box], tensors, { x: -3.9, y: 1.9 })).toEqual({ plate: 0, row: 0, column: 0 });
  expect(cellAt([box], tensors, { x: 3.9, y: -1.9 })).toEqual({ plate: 0, row: 5, column: 7 });
  expect(cellAt([box], tensors, { x: 0, y: 0 })).toBeNull();
  const between = { ...plain, width: 1, height: 4 };
  expect(cellAt([box, between], [...tensors, ...tensors], { x: 0, y: 0 })?.plate).toBe(1);
});

test('each cell of tiled kernels is found where the kernel has it', () => {
  const [out, inner, high, wide] = [2, 3, 2, 4];
  const tensors = tensor([out, inner, high, wide], [out, inner * high * wide]);
  const box: Box = { ...plain, width: inner * wide, height: out * high, tile: [high, wide] };
  const found = new Set<number>();
  for (let y = 0; y < out * high; y += 1) {
    for (let x = 0; x < inner * wide; x += 1) {
      const at = { x: x + 0.5 - box.width / 2, y: box.height / 2 - y - 0.5 };
      const cell = cellAt([box], tensors, at)!;
      expect(cell.row).toBe(Math.floor(y / high));
      expect(cell.column).toBe(Math.floor(x / wide) * high * wide + (y % high) * wide + (x % wide));
      found.add(cell.row * 100 + cell.column);
    }
  }
  expect(found.size).toBe(out * inner * high * wide);
});
