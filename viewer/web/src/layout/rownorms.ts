/** The norms of a matrix's rows as a key snapshot has them: which row is how large, and by how much it changed. */

import type { Norms } from '../data/further';
import { halfToNumber } from '../data/half';
import type { Plan, Positions, TensorInfo } from '../data/types';
import { matrixShape } from './boxes';

export interface RowNorm {
  /** index in the whole tensor seen as a matrix */
  row: number;
  norm: number;
  /** the same of the earlier snapshot; null where that is not known */
  before: number | null;
  /** index among the rows that are drawn; null if it is none of them */
  drawn: number | null;
}

/** Fields of `Norms.exponents`, per tensor. */
const EXPONENTS = 4;

/** All rows that have a norm; null where the tensor has none. `positions` may be on their way: nothing is lit then. */
export function rowNorms(
  plan: Plan,
  tensor: TensorInfo,
  positions: Positions | null,
  norms: Norms,
  earlier: Norms | null,
): RowNorm[] | null {
  const entry = plan.places.rows.findIndex(([index]) => index === tensor.index);
  const place = plan.places.rows[entry];
  if (!place) return null;
  const [, offset, count] = place;
  const of = (from: Norms) => {
    const unit = 2 ** from.exponents[entry * EXPONENTS]!;
    return (at: number) => halfToNumber(from.rows[offset + at]!) * unit;
  };
  const sampled = sampledRows(tensor, positions);
  const rows = rowsWithNorms(plan, tensor, sampled, count);
  if (!rows) return null;
  const drawn = new Map(sampled?.map((row, at) => [row, at]));
  const [now, before] = [of(norms), earlier && of(earlier)];
  return rows.map((row, at) => ({ row, norm: now(at), before: before?.(at) ?? null, drawn: drawn.get(row) ?? null }));
}

function sampledRows(tensor: TensorInfo, positions: Positions | null): number[] | null {
  const [rows, columns] = matrixShape(tensor);
  const [gridRows, gridColumns] = tensor.grid;
  if (gridRows === rows) return Array.from({ length: rows }, (_, row) => row);
  if (!positions) return null;
  const flat = positions[tensor.array];
  return Array.from({ length: gridRows }, (_, row) => Math.floor(flat[tensor.offset + row * gridColumns]! / columns));
}

/** Which rows have a norm: all, or the recorded tokens, or the sampled ones. */
function rowsWithNorms(plan: Plan, tensor: TensorInfo, sampled: number[] | null, count: number): number[] | null {
  const [rows] = matrixShape(tensor);
  if (count === rows) return Array.from({ length: rows }, (_, row) => row);
  if (tensor.role === 'token_embedding' && plan.embedding_tokens?.length === count) return [...plan.embedding_tokens];
  return sampled?.length === count ? sampled : null;
}

/** The largest and the smallest, and those that changed most since the earlier snapshot; each best first. */
export function extremes(rows: readonly RowNorm[], most: number): { largest: RowNorm[]; smallest: RowNorm[]; changed: RowNorm[] } {
  const known = rows.filter(({ norm }) => Number.isFinite(norm)).sort((a, b) => b.norm - a.norm || a.row - b.row);
  const largest = known.slice(0, most);
  const smallest = known.slice(Math.max(known.length - most, largest.length)).reverse();
  const changed = known.filter((row) => changeOf(row) !== null && changeOf(row) !== 0);
  changed.sort((a, b) => Math.abs(Math.log1p(changeOf(b)!)) - Math.abs(Math.log1p(changeOf(a)!)));
  return { largest, smallest, changed: changed.slice(0, most) };
}

/** By which share of itself a norm grew; null where that is not known. */
export function changeOf({ norm, before }: RowNorm): number | null {
  if (before === null || !Number.isFinite(before) || before <= 0 || !Number.isFinite(norm)) return null;
  return norm / before - 1;
}
