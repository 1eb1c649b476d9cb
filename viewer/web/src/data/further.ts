/** The further parts of a snapshot: most of them stand in key snapshots only. See docs/HTTP.md. */

import { DecodeError, fieldsOf, float32, float64, int16, int32, optional, uint16 } from './fields';
import type { FrameFailure } from './types';

/** Samples of which each tensor has a power of two of its own: x = half × 2 ** exponent. */
export interface ScaledSamples {
  /** float16 bit patterns in the order of `values`, then of `vectors`, without what the plan holds itself */
  samples: Uint16Array;
  /** one for each tensor of the plan */
  exponents: Int16Array;
}

/** Of every element of a tensor, by the cells around its samples. */
export interface Cells {
  /** scaled float16 bit patterns */
  mean: Uint16Array;
  absmax: Uint16Array | null;
  /** for each tensor that has cells: of mean, rms, absmax */
  exponents: Int16Array;
}

/** Euclidean norms of rows and columns. */
export interface Norms {
  /** scaled float16 bit patterns */
  rows: Uint16Array;
  columns: Uint16Array | null;
  gradient_rows: Uint16Array | null;
  gradient_columns: Uint16Array | null;
  /** for each tensor that has norms: of the four above, in their order */
  exponents: Int16Array;
}

export interface Heads {
  norms: Float32Array;
}

export interface Neighbours {
  /** for each neighbour token its ten nearest, nearest first; -1 where there are fewer */
  tokens: Int32Array;
  distances: Float32Array | null;
  /** the exact total variance of the recorded rows; null where it was not recorded */
  variance: number | null;
}

export interface FurtherContent {
  gradient_values: ScaledSamples;
  update_values: ScaledSamples;
  cells: Cells;
  norms: Norms;
  heads: Heads;
  neighbours: Neighbours;
}

export type FurtherPart = keyof FurtherContent;

/** One further part of one snapshot; `content` is null where the snapshot does not hold it. */
export interface Piece<P extends FurtherPart = FurtherPart> {
  iteration: number;
  plan: number;
  content: FurtherContent[P] | null;
}

export type PieceResult<P extends FurtherPart = FurtherPart> = Piece<P> | FrameFailure;

function scaledSamples(value: unknown, name: string): ScaledSamples {
  const fields = fieldsOf(value, name);
  return {
    samples: uint16(fields.samples, `${name}.samples`),
    exponents: int16(fields.exponents, `${name}.exponents`),
  };
}

const DECODERS: { [P in FurtherPart]: (value: unknown, name: string) => FurtherContent[P] } = {
  gradient_values: scaledSamples,
  update_values: scaledSamples,
  cells: (value, name) => {
    const fields = fieldsOf(value, name);
    return {
      mean: uint16(fields.mean, `${name}.mean`),
      absmax: optional(fields.absmax, `${name}.absmax`, uint16),
      exponents: int16(fields.exponents, `${name}.exponents`),
    };
  },
  norms: (value, name) => {
    const fields = fieldsOf(value, name);
    return {
      rows: uint16(fields.rows, `${name}.rows`),
      columns: optional(fields.columns, `${name}.columns`, uint16),
      gradient_rows: optional(fields.gradient_rows, `${name}.gradient_rows`, uint16),
      gradient_columns: optional(fields.gradient_columns, `${name}.gradient_columns`, uint16),
      exponents: int16(fields.exponents, `${name}.exponents`),
    };
  },
  heads: (value, name) => ({ norms: float32(fieldsOf(value, name).norms, `${name}.norms`) }),
  neighbours: (value, name) => {
    const fields = fieldsOf(value, name);
    return {
      tokens: int32(fields.tokens, `${name}.tokens`),
      distances: optional(fields.distances, `${name}.distances`, float32),
      variance: optional(fields.variance, `${name}.variance`, float64)?.[0] ?? null,
    };
  },
};

/** One part out of a frame's fields. */
export function pieceOf<P extends FurtherPart>(value: unknown, part: P): PieceResult<P> {
  const fields = fieldsOf(value, 'frame');
  if (fields.error) return fields as unknown as FrameFailure;
  const iteration = Number(fields.iteration);
  if (!Number.isFinite(iteration)) throw new DecodeError('frame: no iteration in it.');
  return { iteration, plan: Number(fields.plan), content: optional(fields[part], part, DECODERS[part]) };
}

/** Bytes that a piece holds in memory. */
export function pieceBytes({ content }: Piece): number {
  const arrays = content === null ? [] : Object.values(content as object);
  return arrays.reduce((sum: number, array: unknown) => sum + (ArrayBuffer.isView(array) ? array.byteLength : 0), 256);
}
