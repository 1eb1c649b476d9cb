/** Every address the page asks for is made here, relative to the page itself. */

import {
  decodeFrames,
  decodeFrozen,
  decodePieces,
  decodePositions,
  decodeScalars,
  decodeSeries,
  decodeUpdate,
} from './decode';
import type { FurtherPart, PieceResult } from './further';
import { decodeHistograms, type Histograms } from './histograms';
import type {
  Catalogue,
  ErrorKind,
  FrameResult,
  FrozenSamples,
  Plan,
  Positions,
  RunInfo,
  RunSummary,
  Series,
  TailNews,
} from './types';

/** A request that failed; told apart by `kind`, never by the text. */
export class ApiError extends Error {
  readonly kind: ErrorKind;
  readonly key: string;

  constructor(kind: ErrorKind, message: string, key = '') {
    super(message);
    this.name = 'ApiError';
    this.kind = kind;
    this.key = key;
  }
}

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface TailRun {
  run: string;
  cursor: string;
}

const NOTHING: FrozenSamples = { values: new Uint16Array(0), vectors: new Float32Array(0) };

/** What one request brings: a frame, its cloud in another basis, or one of its further parts. */
export type FramePart = 'frame' | 'embedding' | FurtherPart;

/** The newest snapshot not after an iteration that holds a part, and the first one after it. */
export interface Holding {
  iteration: number | null;
  next: number | null;
}

export class Api {
  /** Requests sent so far, for the page's counters. */
  requests = 0;
  private readonly base: string;
  private readonly fetch: Fetch;

  /** `base` ends in `api/`; all addresses are resolved against it. */
  constructor(base: string, fetchFunction: Fetch = (url, init) => fetch(url, init)) {
    this.base = base;
    this.fetch = fetchFunction;
  }

  async runs(signal?: AbortSignal): Promise<RunSummary[]> {
    return (await this.json<{ runs: RunSummary[] }>('runs', signal)).runs;
  }

  run(run: string): Promise<RunInfo> {
    return this.json<RunInfo>(`runs/${encodeURIComponent(run)}`);
  }

  /** A plan with the samples that it holds itself. Damaged ones are left out: the others can be shown. */
  async plan(run: string, number: number): Promise<Plan> {
    const path = `runs/${encodeURIComponent(run)}/plans/${number}`;
    const catalogue = await this.json<Catalogue>(path);
    if (catalogue.frozen_values + catalogue.frozen_vectors === 0) return { ...catalogue, frozen: NOTHING };
    try {
      return { ...catalogue, frozen: decodeFrozen(await this.bytes(`${path}/frozen`)) };
    } catch (error) {
      if (error instanceof ApiError && error.kind === 'damaged') return { ...catalogue, frozen: null };
      throw error;
    }
  }

  async positions(run: string, plan: number): Promise<Positions> {
    return decodePositions(await this.bytes(`runs/${encodeURIComponent(run)}/plans/${plan}/positions`));
  }

  async scalars(run: string): Promise<Record<string, Series>> {
    return decodeScalars(await this.bytes(`runs/${encodeURIComponent(run)}/scalars`));
  }

  async timeline(
    run: string,
    tensor: number,
    key: string,
    of: 'statistics' | 'gradient_statistics',
    signal?: AbortSignal,
  ): Promise<Series> {
    const path = `runs/${encodeURIComponent(run)}/timeline/${tensor}/${encodeURIComponent(key)}?of=${of}`;
    return decodeSeries(await this.bytes(path, signal));
  }

  async histograms(run: string, tensor: number, signal?: AbortSignal): Promise<Histograms> {
    return decodeHistograms(await this.bytes(`runs/${encodeURIComponent(run)}/histograms/${tensor}`, signal));
  }

  vocabulary(run: string): Promise<string[]> {
    return this.json<string[]>(`runs/${encodeURIComponent(run)}/vocabulary`);
  }

  /** One request for one snapshot or up to 16; a lone failure throws, one in a list is in the list. */
  async frames(
    run: string,
    iterations: readonly number[],
    part: 'frame' | 'embedding',
    basis: number | null,
    signal: AbortSignal,
  ): Promise<FrameResult[]> {
    const query = new URLSearchParams();
    if (part === 'embedding') query.set('parts', 'embedding');
    // Always said, since the default moves on while a run grows and frames are kept for ever.
    if (basis !== null) query.set('basis', String(basis));
    return decodeFrames(await this.bytes(framesPath(run, iterations, query), signal));
  }

  /** A further part of one snapshot or up to 16, like `frames`. */
  async pieces<P extends FurtherPart>(
    run: string,
    iterations: readonly number[],
    part: P,
    signal: AbortSignal,
  ): Promise<PieceResult<P>[]> {
    const path = framesPath(run, iterations, new URLSearchParams({ parts: part }));
    return decodePieces(await this.bytes(path, signal), part);
  }

  holding(run: string, iteration: number, part: FurtherPart): Promise<Holding> {
    return this.json<Holding>(`runs/${encodeURIComponent(run)}/holding/${iteration}?part=${part}`);
  }

  tailUrl(runs: readonly TailRun[]): string {
    return `${this.base}tail?${tailQuery(runs)}`;
  }

  async poll(runs: readonly TailRun[], signal?: AbortSignal): Promise<TailNews> {
    const { updates, problems } = await this.json<TailNews>(`poll?${tailQuery(runs)}`, signal);
    return { updates: updates.map(decodeUpdate), problems };
  }

  async json<T>(path: string, signal?: AbortSignal): Promise<T> {
    const response = await this.request(path, signal);
    return (await response.json()) as T;
  }

  async bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
    const response = await this.request(path, signal);
    return response.arrayBuffer();
  }

  private async request(path: string, signal?: AbortSignal): Promise<Response> {
    this.requests += 1;
    let response: Response;
    try {
      response = await this.fetch(this.base + path, signal ? { signal } : {});
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw new ApiError('network', 'The server of paramviz does not answer.');
    }
    if (!response.ok) throw await errorOf(response);
    return response;
  }
}

function framesPath(run: string, iterations: readonly number[], query: URLSearchParams): string {
  if (iterations.length > 1) query.set('iterations', iterations.join(','));
  const path = iterations.length > 1 ? 'frames' : `frames/${iterations[0]}`;
  const suffix = query.size > 0 ? `?${query}` : '';
  return `runs/${encodeURIComponent(run)}/${path}${suffix}`;
}

function tailQuery(runs: readonly TailRun[]): string {
  const ids = runs.map(({ run }) => encodeURIComponent(run)).join(',');
  const cursors = runs.map(({ cursor }) => encodeURIComponent(cursor)).join(',');
  return `runs=${ids}&cursors=${cursors}`;
}

async function errorOf(response: Response): Promise<ApiError> {
  try {
    const { error } = (await response.json()) as { error: { kind: ErrorKind; message: string; key?: string } };
    return new ApiError(error.kind, error.message, error.key ?? '');
  } catch {
    return new ApiError('protocol', `The server answered with status ${response.status} and no reason.`);
  }
}
