/** A tensor's histogram over time, as the server tells it. */

import { decode } from '@msgpack/msgpack';
import { DecodeError, fieldsOf, int64, uint32 } from './fields';

/** The bins of docs/FORMAT.md, the same for every tensor of every run: 32 is [0, 2^-24), 33 is [2^-24, 2^-23) … */
export const N_BINS = 64;

export interface Histograms {
  iterations: Float64Array;
  /** iterations × 64 */
  counts: Uint32Array;
  /** Iterations that could not be read; they are left out. */
  damaged: number[];
}

export function decodeHistograms(body: ArrayBuffer): Histograms {
  const fields = fieldsOf(decode(new Uint8Array(body)), 'histograms');
  const iterations = int64(fields.iterations, 'histograms.iterations');
  const counts = uint32(fields.counts, 'histograms.counts');
  if (counts.length !== iterations.length * N_BINS) {
    throw new DecodeError(`histograms: ${counts.length} counts for ${iterations.length} snapshots.`);
  }
  const damaged = Array.isArray(fields.damaged) ? fields.damaged.map(Number) : [];
  return { iterations, counts, damaged };
}
