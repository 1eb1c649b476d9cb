/** The largest of what lies around a cell: a far pixel reads few cells, and must overlook none. */

import type { Plan } from '../data/types';

/** Sides of the blocks whose largest magnitude each of their cells is told. */
const SIDES = [1, 2, 4] as const;

/**
 * Writes into texels of four numbers, of which the first is left alone: the largest magnitude of each cell, of the
 * 2 × 2 block around it, of the 4 × 4 block. Bits of float16: of numbers that are not negative they have the
 * numbers' own order, with NaN above infinity.
 */
export function fillExtremes(texels: Uint16Array | Uint32Array, absmax: Uint16Array, plan: Plan): void {
  for (const [tensor, offset] of plan.places.cells) {
    const [rows, columns] = plan.tensors[tensor]!.grid;
    SIDES.forEach((side, channel) => {
      const blocks = Math.ceil(columns / side);
      const largest = new Uint16Array(blocks);
      for (let top = 0; top < rows; top += side) {
        const bottom = Math.min(top + side, rows);
        largest.fill(0);
        for (let row = top; row < bottom; row += 1) {
          for (let column = 0; column < columns; column += 1) {
            const bits = absmax[offset + row * columns + column]!;
            const block = Math.floor(column / side);
            if (bits > largest[block]!) largest[block] = bits;
          }
        }
        for (let row = top; row < bottom; row += 1) {
          for (let column = 0; column < columns; column += 1) {
            texels[4 * (offset + row * columns + column) + 1 + channel] = largest[Math.floor(column / side)]!;
          }
        }
      }
    });
  }
}
