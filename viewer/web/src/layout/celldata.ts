/** Cells of whole tensors: their means and largest magnitudes, as the plates show them. */

import type { Cells } from '../data/further';
import { halfToNumber } from '../data/half';
import type { Plan } from '../data/types';
import { EXTREME_FROM } from './colour';
import { quantile, scaleOf, type ScaleRule } from './scales';

/** Of each cell: mean, rms, absmax have exponents in this order. */
const EXPONENTS = 3;

/** So many cells say what is typical of a tensor. */
const MOST_TYPICAL = 255;

/** An extreme leaves this share of its tensor's cells behind, by a quarter: where tails are heavy, many are large. */
const ORDINARY_SHARE = 0.98;
const BEYOND_ORDINARY = 1.25;
/** Of fewer cells it can't be told what is ordinary. */
const LEAST_CELLS = 100;

/** Largest magnitudes are all of one size, so that 3 rms would be above nearly all: their colours end at so many typical ones. */
export const TYPICAL_PER_SCALE = 4;

export type CellUse = 'mean' | 'absmax' | 'extremes';

export interface CellFacts {
  exponent: number;
  /** what one end of the colours stands for; for extremes a largest magnitude beside which they stand out */
  scale: number;
}

/** How the cells of each tensor that has some are shown, by its index in the plan. */
export function cellFacts(cells: Cells, plan: Plan, use: CellUse, rule: ScaleRule): Map<number, CellFacts> {
  const facts = new Map<number, CellFacts>();
  const bits = use === 'mean' ? cells.mean : cells.absmax;
  if (!bits) return facts;
  plan.places.cells.forEach(([tensor, offset, count], entry) => {
    const exponent = cells.exponents[entry * EXPONENTS + (use === 'mean' ? 0 : 2)]!;
    const stride = use === 'extremes' ? Math.ceil(count / MOST_TYPICAL) : 1;
    facts.set(tensor, { exponent, scale: cellScale(magnitudes(bits, offset, count, exponent, stride), use, rule) });
  });
  return facts;
}

/** Means have the scale that samples would have; it is of the means alone, which are much smaller than samples. */
function cellScale(found: Float64Array, use: CellUse, rule: ScaleRule): number {
  if (use === 'extremes') {
    const typical = quantile(found, 0.5);
    if (found.length < LEAST_CELLS) return typical;
    return Math.max(typical, (BEYOND_ORDINARY / EXTREME_FROM) * quantile(found, ORDINARY_SHARE));
  }
  if (use === 'mean' || rule === 'quantile' || rule === 'absolute') return scaleOf(found, rule);
  const largest = scaleOf(found, 'absolute');
  const wide = TYPICAL_PER_SCALE * quantile(found, 0.5);
  return wide > 0 ? Math.min(wide, largest) : largest;
}

function magnitudes(
  bits: Uint16Array,
  offset: number,
  count: number,
  exponent: number,
  stride: number,
): Float64Array {
  const found = new Float64Array(Math.ceil(count / stride));
  const unit = 2 ** exponent;
  let length = 0;
  for (let at = offset; at < offset + count; at += stride) {
    const number = halfToNumber(bits[at]!);
    if (Number.isFinite(number)) found[length++] = Math.abs(number) * unit;
  }
  return found.subarray(0, length);
}

export interface CellNumbers {
  mean: number;
  absmax: number | null;
}

/** What was recorded of the cell around a sample; null where the tensor has no cells. */
export function cellNumbers(cells: Cells, plan: Plan, tensor: number, index: number): CellNumbers | null {
  const entry = plan.places.cells.findIndex(([one]) => one === tensor);
  if (entry < 0) return null;
  const at = plan.places.cells[entry]![1] + index;
  const exponent = (kind: number) => 2 ** cells.exponents[entry * EXPONENTS + kind]!;
  return {
    mean: halfToNumber(cells.mean[at]!) * exponent(0),
    absmax: cells.absmax ? halfToNumber(cells.absmax[at]!) * exponent(2) : null,
  };
}
