/** Which sample lies at a point of the front plane: the same arithmetic as in the plates' shader. */

import type { TensorInfo } from '../data/types';
import type { Box, Slice } from './boxes';

export interface CellAddress {
  /** number of the box */
  plate: number;
  /** place in the grid of samples */
  row: number;
  column: number;
}

interface Point {
  x: number;
  y: number;
}

const holds = (place: { x: number; y: number; width: number; height: number }, at: Point) =>
  Math.abs(at.x - place.x) <= place.width / 2 && Math.abs(at.y - place.y) <= place.height / 2;

/** The pieces of a box that are drawn: itself, or its slices. */
export function slicesOf(box: Box, tensor: TensorInfo): Slice[] {
  const [rows, columns] = tensor.grid;
  const { x, y, width, height } = box;
  return box.slices ?? [{ x, y, width, height, row: 0, rows, column: 0, columns, label: '' }];
}

/** The cell at a point of the front plane. Plates don't overlap, so there is one at most. */
export function cellAt(boxes: readonly Box[], tensors: readonly TensorInfo[], at: Point): CellAddress | null {
  let slice: Slice | undefined;
  // Slices of one box stand between those of another, so the first box around the point may have none there.
  const plate = boxes.findIndex((box) => {
    slice = holds(box, at) ? slicesOf(box, tensors[box.tensor]!).find((one) => holds(one, at)) : undefined;
    return slice !== undefined;
  });
  if (!slice) return null;
  const box = boxes[plate]!;
  const u = (at.x - slice.x) / slice.width + 0.5;
  const v = 0.5 - (at.y - slice.y) / slice.height;
  const [high, wide] = box.tile ?? [1, 1];
  const cell = (share: number, count: number) => Math.min(Math.max(Math.floor(share * count), 0), Math.max(count - 1, 0));
  const down = cell(box.transposed ? u : v, slice.rows * high);
  const along = cell(box.transposed ? v : u, slice.columns / high);
  return {
    plate,
    row: slice.row + Math.floor(down / high),
    column: slice.column + Math.floor(along / wide) * high * wide + (down % high) * wide + (along % wide),
  };
}
