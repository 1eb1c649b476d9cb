/** msgpack bodies and JSON numbers to what the page works with. */

import { decode } from '@msgpack/msgpack';
import { DecodeError, fieldsOf, float32, float64, int64, optional, uint16 } from './fields';
import { pieceOf, type FurtherPart, type PieceResult } from './further';
import type {
  Frame,
  FrameEmbedding,
  FrameResult,
  FrozenSamples,
  Positions,
  Series,
  TailUpdate,
} from './types';

function embeddingOf(value: unknown): FrameEmbedding | null {
  if (value === null || value === undefined) return null;
  const fields = fieldsOf(value, 'embedding');
  return {
    tensor: String(fields.tensor),
    basis: Number(fields.basis),
    exact: fields.exact !== false,
    coordinates: float32(fields.coordinates, 'embedding.coordinates'),
    magnitude: float32(fields.magnitude, 'embedding.magnitude'),
    explained: ((fields.explained as unknown[]) ?? []).map(Number),
  };
}

function frameOf(value: unknown): FrameResult {
  const fields = fieldsOf(value, 'frame');
  if (fields.error) return fields as unknown as FrameResult;
  const frame: Frame = {
    iteration: Number(fields.iteration),
    plan: Number(fields.plan),
    tier: String(fields.tier),
    time_unix_s: Number(fields.time_unix_s),
    scalars: (fields.scalars as Record<string, number>) ?? {},
    events: (fields.events as Frame['events']) ?? [],
    gradient_state: (fields.gradient_state as Frame['gradient_state']) ?? {
      default: 'unavailable',
      exceptions: {},
      reason: '',
    },
    values: optional(fields.values, 'values', uint16),
    vectors: optional(fields.vectors, 'vectors', float32),
    statistics: optional(fields.statistics, 'statistics', float32),
    gradient_statistics: optional(fields.gradient_statistics, 'gradient_statistics', float32),
    embedding: embeddingOf(fields.embedding),
  };
  if (!Number.isFinite(frame.iteration)) throw new DecodeError('frame: no iteration in it.');
  return frame;
}

/** One snapshot, or the list that `frames?iterations=` answers with. */
export function decodeFrames(body: ArrayBuffer): FrameResult[] {
  const value = decode(new Uint8Array(body));
  return Array.isArray(value) ? value.map(frameOf) : [frameOf(value)];
}

/** One further part of each snapshot in the answer. */
export function decodePieces<P extends FurtherPart>(body: ArrayBuffer, part: P): PieceResult<P>[] {
  const value = decode(new Uint8Array(body));
  return (Array.isArray(value) ? value : [value]).map((one) => pieceOf(one, part));
}

export function decodePositions(body: ArrayBuffer): Positions {
  const fields = fieldsOf(decode(new Uint8Array(body)), 'positions');
  return {
    values: int64(fields.values, 'positions.values'),
    vectors: int64(fields.vectors, 'positions.vectors'),
  };
}

export function decodeFrozen(body: ArrayBuffer): FrozenSamples {
  const fields = fieldsOf(decode(new Uint8Array(body)), 'frozen');
  return { values: uint16(fields.values, 'frozen.values'), vectors: float32(fields.vectors, 'frozen.vectors') };
}

function seriesOf(value: unknown, name: string): Series {
  const fields = fieldsOf(value, name);
  return {
    iterations: int64(fields.iterations, `${name}.iterations`),
    values: float64(fields.values, `${name}.values`),
  };
}

export function decodeSeries(body: ArrayBuffer): Series {
  return seriesOf(decode(new Uint8Array(body)), 'timeline');
}

export function decodeScalars(body: ArrayBuffer): Record<string, Series> {
  const fields = fieldsOf(decode(new Uint8Array(body)), 'scalars');
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, seriesOf(value, name)]));
}

/** A number that JSON may have had to write as a string. */
export function jsonNumber(value: unknown): number {
  if (typeof value === 'number') return value;
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value);
  throw new DecodeError(`expected a number, got ${JSON.stringify(value)}.`);
}

/** A tail message with its scalars as real numbers. */
export function decodeUpdate(message: TailUpdate): TailUpdate {
  const scalars = message.scalars.map(
    ([iteration, named]): [number, Record<string, number>] => [
      iteration,
      Object.fromEntries(Object.entries(named).map(([name, value]) => [name, jsonNumber(value)])),
    ],
  );
  return { ...message, scalars };
}

/** Bytes that a decoded frame holds in memory. */
export function frameBytes(frame: Frame): number {
  const parts = [frame.values, frame.vectors, frame.statistics, frame.gradient_statistics];
  const arrays = [...parts, frame.embedding?.coordinates, frame.embedding?.magnitude];
  // The small fields (scalars, events) are counted with a flat allowance.
  return arrays.reduce((sum, array) => sum + (array?.byteLength ?? 0), 1024);
}
