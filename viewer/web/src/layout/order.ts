/** Norms of the rows and columns that were sampled, and the order that they give. */

import type { Norms } from '../data/further';
import { halfToNumber } from '../data/half';
import type { Plan, Positions, TensorInfo } from '../data/types';
import { matrixShape, type Box } from './boxes';
import { slicesOf } from './cells';

const FIELDS = ['rows', 'columns', 'gradient_rows', 'gradient_columns'] as const;

export type Axis = 'rows' | 'columns';

type Entries = Record<Axis, Map<number, number>>;

const known = new WeakMap<Plan, Entries>();

/** For each tensor which entry it has among those with norms. */
function entriesOf(plan: Plan): Entries {
  let entries = known.get(plan);
  if (!entries) {
    const entriesIn = (axis: Axis) => new Map(plan.places[axis].map(([tensor], entry) => [tensor, entry]));
    entries = { rows: entriesIn('rows'), columns: entriesIn('columns') };
    known.set(plan, entries);
  }
  return entries;
}

/** The norm of each sampled row or column; null where they were not recorded. */
export function sampledNorms(
  plan: Plan,
  tensor: TensorInfo,
  positions: Positions | null,
  norms: Norms,
  axis: Axis,
  ofGradient: boolean,
): Float64Array | null {
  const entries = entriesOf(plan);
  const entry = entries.rows.get(tensor.index);
  const place = plan.places[axis][entries[axis].get(tensor.index) ?? -1];
  const field = FIELDS.indexOf(axis) + (ofGradient ? 2 : 0);
  const bits = norms[FIELDS[field]!];
  if (entry === undefined || !place || !bits) return null;
  const [, offset, count] = place;
  const places = placesOf(plan, tensor, positions, axis, count);
  if (!places) return null;
  const unit = 2 ** norms.exponents[entry * FIELDS.length + field]!;
  return Float64Array.from(places, (at) => (at < 0 ? NaN : halfToNumber(bits[offset + at]!) * unit));
}

/** Where the norm of each sampled row or column stands among those of the tensor; -1 where it does not. */
function placesOf(
  plan: Plan,
  tensor: TensorInfo,
  positions: Positions | null,
  axis: Axis,
  count: number,
): number[] | null {
  const [rows, columns] = matrixShape(tensor);
  const [gridRows, gridColumns] = tensor.grid;
  const sampled = axis === 'rows' ? gridRows : gridColumns;
  const all = axis === 'rows' ? rows : columns;
  const indices = Array.from({ length: sampled }, (_, index) => index);
  if (count === sampled) return indices;
  if (!positions) return null;
  const flat = (index: number) => positions[tensor.array][tensor.offset + index]!;
  const own =
    axis === 'rows'
      ? indices.map((row) => Math.floor(flat(row * gridColumns) / columns))
      : indices.map((column) => flat(column) % columns);
  if (count === all) return own;
  const tokens = plan.embedding_tokens;
  if (axis !== 'rows' || !tokens || tokens.length !== count) return null;
  const at = new Map(tokens.map((token, index) => [token, index]));
  return own.map((row) => at.get(row) ?? -1);
}

/**
 * Indices by falling norm; what has none comes last, and equals keep their order. What stands apart (Q, K, V,
 * heads) is sorted for itself, so that it stays where its name is: `borders` are where such groups begin.
 */
export function orderOf(norms: Float64Array | null, length: number, borders: readonly number[] = []): number[] {
  const order = Array.from({ length }, (_, index) => index);
  if (!norms) return order;
  const rank = (index: number) => (Number.isFinite(norms[index]!) ? norms[index]! : -1);
  const group = order.map((index) => borders.reduce((sum, border) => sum + (index >= border ? 1 : 0), 0));
  return order.sort((a, b) => group[a]! - group[b]! || rank(b) - rank(a) || a - b);
}

/** Where groups of rows or columns begin that a box shows apart from each other. */
export function bordersOf(box: Box, tensor: TensorInfo, axis: Axis): number[] {
  const borders = new Set<number>();
  for (const slice of slicesOf(box, tensor)) {
    const [start, count] = axis === 'rows' ? [slice.row, slice.rows] : [slice.column, slice.columns];
    const parts = box.split?.axis === axis ? box.split.parts : 1;
    for (let part = 0; part <= parts; part += 1) borders.add(start + Math.round((count * part) / parts));
  }
  return [...borders];
}

/** A norm without a number. */
export const NO_SHARE = 0xffff;

/** Norms as shares of the largest one, 0 to 65,534; `NO_SHARE` where there is none. */
export function sharesOf(norms: Float64Array | null, length: number): Uint16Array {
  const shares = new Uint16Array(length).fill(NO_SHARE);
  if (!norms) return shares;
  const largest = norms.reduce((most, norm) => (norm > most && norm < Infinity ? norm : most), 0);
  norms.forEach((norm, index) => {
    if (Number.isFinite(norm)) shares[index] = largest > 0 ? Math.round((norm / largest) * (NO_SHARE - 1)) : 0;
  });
  return shares;
}
