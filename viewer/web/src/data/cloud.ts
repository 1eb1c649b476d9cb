/** What the server tells of the embedding cloud beside its coordinates (docs/HTTP.md, The embedding cloud). */

import { decode } from '@msgpack/msgpack';
import type { Api } from './api';
import { DecodeError, fieldsOf, float32, int32, int64 } from './fields';
import { isFailure } from './types';

/** How far a picture can be trusted; a number that is not known is NaN. */
export interface Trust {
  /** the newest snapshot of which the truth is known */
  iteration: number;
  basis: number;
  /** share of the exact total variance along the axes of the picture */
  explained: number;
  /** share of the true nearest neighbours that are nearest in the picture, too */
  neighbours_kept: number;
  queries: number;
  axes_above_noise: number;
  largest: number;
  noise: number;
}

export interface Neighbours {
  token: number;
  iteration: number;
  source: 'recorded' | 'rows' | 'sketch';
  tokens: number[];
  distances: number[];
}

/** Tokens whose neighbourhood changed most; `from` and `to` are null where there are no two snapshots to compare. */
export interface Suggestions {
  from: number | null;
  to: number | null;
  compared: number;
  tokens: number[];
  changes: number[];
}

/** One token's way through training. */
export interface Trail {
  token: number;
  basis: number;
  iterations: Float64Array;
  /** x, y, z of each iteration; NaN where nothing is known */
  points: Float32Array;
}

export interface Projections {
  projections: { name: string }[];
  clusters: { iteration: number } | null;
}

/** Coordinates that were computed once, for one iteration. */
export interface Projected {
  iteration: number;
  tokens: Int32Array;
  coordinates: Float32Array;
}

/** The number of each token's cluster, -1 where it is in none. */
export interface Clusters {
  iteration: number;
  tokens: Int32Array;
  numbers: Int32Array;
}

const wholeOrNaN = (value: unknown) => (typeof value === 'number' ? value : NaN);

export class CloudApi {
  private readonly api: Api;

  constructor(api: Api) {
    this.api = api;
  }

  async trust(run: string, iteration: number, basis: number): Promise<Trust> {
    const answer = await this.api.json<Trust>(`${place(run)}/trust/${iteration}?basis=${basis}`);
    // What JSON cannot hold comes as a word.
    return {
      ...answer,
      explained: wholeOrNaN(answer.explained),
      neighbours_kept: wholeOrNaN(answer.neighbours_kept),
      largest: wholeOrNaN(answer.largest),
    };
  }

  async neighbours(run: string, token: number, iteration: number): Promise<Neighbours> {
    const answer = await this.api.json<Neighbours>(`${place(run)}/neighbours/${token}?iteration=${iteration}`);
    return { ...answer, distances: answer.distances.map(wholeOrNaN) };
  }

  suggestions(run: string): Promise<Suggestions> {
    return this.api.json<Suggestions>(`${place(run)}/suggestions`);
  }

  async trails(run: string, tokens: readonly number[], basis: number): Promise<Trail[]> {
    return decodeTrails(await this.api.bytes(`${place(run)}/trails?tokens=${tokens.join(',')}&basis=${basis}`));
  }

  projections(run: string): Promise<Projections> {
    return this.api.json<Projections>(`${place(run)}/projections`);
  }

  async projected(run: string, name: string): Promise<Projected> {
    return decodeProjected(await this.api.bytes(`${place(run)}/projections/${encodeURIComponent(name)}`));
  }

  async clusters(run: string): Promise<Clusters> {
    return decodeClusters(await this.api.bytes(`${place(run)}/projections/clusters`));
  }

  /** Coordinates of all recorded tokens at an iteration, or null where the snapshot holds none. */
  async coordinates(run: string, iteration: number, basis: number): Promise<Float32Array | null> {
    const [frame] = await this.api.frames(run, [iteration], 'embedding', basis, new AbortController().signal);
    return frame && !isFailure(frame) ? (frame.embedding?.coordinates ?? null) : null;
  }
}

const place = (run: string) => `runs/${encodeURIComponent(run)}`;

export function decodeTrails(body: ArrayBuffer): Trail[] {
  const fields = fieldsOf(decode(new Uint8Array(body)), 'trails');
  const iterations = int64(fields.iterations, 'trails.iterations');
  const points = float32(fields.coordinates, 'trails.coordinates');
  const tokens = (fields.tokens as unknown[]).map(Number);
  const each = iterations.length * 3;
  if (points.length !== tokens.length * each) throw new DecodeError('trails: not one point for each iteration.');
  return tokens.map((token, index) => ({
    token,
    basis: Number(fields.basis),
    iterations,
    points: points.slice(index * each, (index + 1) * each),
  }));
}

export function decodeProjected(body: ArrayBuffer): Projected {
  const fields = fieldsOf(decode(new Uint8Array(body)), 'projection');
  const tokens = int32(fields.tokens, 'projection.tokens');
  const coordinates = float32(fields.coordinates, 'projection.coordinates');
  if (coordinates.length !== tokens.length * 3) throw new DecodeError('projection: not three numbers for each token.');
  return { iteration: Number(fields.iteration), tokens, coordinates };
}

export function decodeClusters(body: ArrayBuffer): Clusters {
  const fields = fieldsOf(decode(new Uint8Array(body)), 'clusters');
  const tokens = int32(fields.tokens, 'clusters.tokens');
  const numbers = int32(fields.numbers, 'clusters.numbers');
  if (numbers.length !== tokens.length) throw new DecodeError('clusters: not one number for each token.');
  return { iteration: Number(fields.iteration), tokens, numbers };
}
