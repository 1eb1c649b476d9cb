/**
 * Snapshots by run and iteration: from memory, else from the server, each in the basis wished for.
 * Their further parts are pieces of their own, in the same memory.
 */

import { ApiError, type Api, type FramePart } from './api';
import { ByteLru } from './cache';
import { frameBytes } from './decode';
import { DecodeError } from './fields';
import { pieceBytes, type FurtherContent, type FurtherPart, type Piece, type PieceResult } from './further';
import { Holdings } from './holdings';
import { Scheduler, wantKey, type Priority, type SchedulerOptions, type Want } from './scheduler';
import { isFailure, type ErrorKind, type Frame, type FrameFailure, type FrameResult } from './types';

export const FRAME_BUDGET_BYTES = 192 * 1024 * 1024;

export interface Wish {
  run: string;
  iteration: number;
  /** the frame itself, if nothing else is said */
  part?: FurtherPart;
  priority: Priority;
}

/** A further part: whole, or refused for a reason, or with nothing in it. */
export interface Found<P extends FurtherPart> {
  iteration: number;
  plan: number | null;
  content: FurtherContent[P] | null;
  failure: FrameFailure['error'] | null;
}

export interface FrameListener {
  /** A frame, or the reason why there is none, is now in memory. */
  arrived(run: string, iterations: readonly number[]): void;
  /** The server did not answer; the wish stands and can be repeated. */
  unreachable(kind: ErrorKind): void;
}

function keyOf(run: string, iteration: number, part: FurtherPart | 'frame' = 'frame'): string {
  return part === 'frame' ? `${run}/${iteration}` : `${run}/${iteration}/${part}`;
}

type Kept = Frame | Piece;

export class FrameSource {
  private readonly cache: ByteLru<Kept>;
  private readonly failures = new Map<string, FrameFailure['error']>();
  private readonly basisOf = new Map<string, number | null>();
  private readonly holdings = new Holdings();
  /** Questions about holdings that are on their way: one for each run and part at a time. */
  private readonly asking = new Set<string>();
  private readonly scheduler: Scheduler;
  private readonly api: Api;
  private readonly listener: FrameListener;

  constructor(
    api: Api,
    listener: FrameListener,
    options: { budgetBytes?: number; scheduler?: Partial<SchedulerOptions> } = {},
  ) {
    this.api = api;
    this.listener = listener;
    this.cache = new ByteLru<Kept>(options.budgetBytes ?? FRAME_BUDGET_BYTES);
    this.scheduler = new Scheduler((batch, signal) => this.fetch(batch, signal), options.scheduler);
  }

  /** The projection that frames of this run shall come in; null where there are no embeddings. */
  setBasis(run: string, basis: number | null): void {
    this.basisOf.set(run, basis);
  }

  /** Replaces all wishes: what is not wished for any more is aborted. */
  wish(wishes: readonly Wish[]): void {
    const wants: Want[] = [];
    for (const wish of wishes) {
      const part = this.missingPart(wish.run, wish.iteration, wish.part);
      if (part) wants.push({ ...wish, part });
    }
    this.scheduler.setWants(wants);
  }

  /** The whole frame in the right basis, or undefined while some of it is missing. */
  get(run: string, iteration: number): Frame | undefined {
    const frame = this.cache.get(keyOf(run, iteration)) as Frame | undefined;
    return frame && this.isInBasis(run, frame) ? frame : undefined;
  }

  failure(run: string, iteration: number): FrameFailure['error'] | undefined {
    return this.failures.get(keyOf(run, iteration));
  }

  has(run: string, iteration: number, part?: FurtherPart): boolean {
    return this.missingPart(run, iteration, part) === null;
  }

  /** A further part of a snapshot, undefined while it is not here. */
  piece<P extends FurtherPart>(run: string, iteration: number, part: P): Found<P> | undefined {
    const key = keyOf(run, iteration, part);
    const failure = this.failures.get(key);
    if (failure) return { iteration, plan: null, content: null, failure };
    const piece = this.cache.get(key) as Piece<P> | undefined;
    return piece && { ...piece, failure: null };
  }

  /**
   * The newest snapshot not after an iteration that holds a part, null where there is none; undefined
   * while that is not known, and then it is asked for. `newest` is the run's last known iteration.
   */
  holder(run: string, iteration: number, part: FurtherPart, newest: number): number | null | undefined {
    const key = `${run}/${part}`;
    const known = this.holdings.at(key, iteration);
    if (known === undefined && !this.asking.has(key)) void this.ask(key, run, iteration, part, newest);
    return known;
  }

  isLoading(run: string, iteration: number): boolean {
    const parts = ['frame', 'embedding'] as const;
    return parts.some((part) => this.scheduler.isFlying(wantKey({ run, iteration, part })));
  }

  /** Forgets failures, so that what was damaged or away is asked for again. */
  forgetFailures(): void {
    this.failures.clear();
    this.holdings.forget();
  }

  /** Keeps no more than so many bytes of snapshots. */
  set budgetBytes(bytes: number) {
    this.cache.budgetBytes = bytes;
  }

  get counters() {
    return {
      cacheBytes: this.cache.bytes,
      cachedFrames: this.cache.size,
      inFlight: this.scheduler.inFlight,
      mostInFlight: this.scheduler.mostInFlight,
      aborted: this.scheduler.aborted,
    };
  }

  private isInBasis(run: string, frame: Frame): boolean {
    const basis = this.basisOf.get(run) ?? null;
    return frame.embedding === null || basis === null || frame.embedding.basis === basis;
  }

  private missingPart(run: string, iteration: number, part?: FurtherPart): FramePart | null {
    const key = keyOf(run, iteration, part);
    if (this.failures.has(key)) return null;
    const kept = this.cache.peek(key);
    if (!kept || part) return kept ? null : (part ?? 'frame');
    return this.isInBasis(run, kept as Frame) ? null : 'embedding';
  }

  private async ask(key: string, run: string, iteration: number, part: FurtherPart, newest: number): Promise<void> {
    this.asking.add(key);
    try {
      this.holdings.learn(key, iteration, await this.api.holding(run, iteration, part), newest);
    } catch (cause) {
      if (cause instanceof ApiError && isPassing(cause.kind)) {
        this.asking.delete(key);
        this.listener.unreachable(cause.kind);
        return;
      }
      // A server that cannot say so holds nothing; the picture then says that it was not recorded.
      this.holdings.learn(key, iteration, { iteration: null, next: null }, iteration);
    }
    this.asking.delete(key);
    this.listener.arrived(run, [iteration]);
  }

  private async fetch(batch: readonly Want[], signal: AbortSignal): Promise<() => void> {
    const { run, part } = batch[0]!;
    const iterations = batch.map((want) => want.iteration);
    const basis = this.basisOf.get(run) ?? null;
    try {
      if (part === 'frame' || part === 'embedding') {
        const results = await this.api.frames(run, iterations, part, basis, signal);
        return () => this.announce(run, results.filter((result) => this.keep(run, part, result)));
      }
      const pieces = await this.api.pieces(run, iterations, part, signal);
      return () => this.announce(run, pieces.filter((piece) => this.keepPiece(run, part, piece)));
    } catch (error) {
      return () => this.fail(batch, error);
    }
  }

  /** Once for a whole flight: whoever wishes anew on the news must find all of it here, or would ask for the rest again. */
  private announce(run: string, results: readonly { iteration: number }[]): void {
    if (results.length > 0) this.listener.arrived(run, results.map(({ iteration }) => iteration));
  }

  /** False if it is no news. */
  private keep(run: string, part: 'frame' | 'embedding', result: FrameResult): boolean {
    const key = keyOf(run, result.iteration);
    if (isFailure(result)) return this.keepFailure(key, result.error);
    if (part === 'frame') {
      this.cache.set(key, result, frameBytes(result));
    } else {
      const whole = this.cache.peek(key) as Frame | undefined;
      if (!whole) return false;
      const turned = { ...whole, embedding: result.embedding };
      this.cache.set(key, turned, frameBytes(turned));
    }
    return true;
  }

  private keepPiece(run: string, part: FurtherPart, result: PieceResult): boolean {
    const key = keyOf(run, result.iteration, part);
    if ('error' in result) return this.keepFailure(key, result.error);
    this.cache.set(key, result, pieceBytes(result));
    return true;
  }

  /** False if the failure says nothing of the snapshot itself. */
  private keepFailure(key: string, error: FrameFailure['error']): boolean {
    if (isPassing(error.kind)) {
      this.listener.unreachable(error.kind);
      return false;
    }
    this.failures.set(key, error);
    return true;
  }

  private fail(batch: readonly Want[], cause: unknown): void {
    const error =
      cause instanceof ApiError
        ? cause
        : new ApiError('protocol', cause instanceof DecodeError ? cause.message : String(cause));
    if (isPassing(error.kind)) {
      this.listener.unreachable(error.kind);
      return;
    }
    for (const { run, iteration, part } of batch) {
      const { kind, message, key } = error;
      this.failures.set(keyOf(run, iteration, part === 'embedding' ? 'frame' : part), { kind, message, key });
    }
    this.announce(batch[0]!.run, batch);
  }
}

/** Says nothing of the frame itself: it is asked for again. */
function isPassing(kind: ErrorKind): boolean {
  return kind === 'network' || kind === 'busy' || kind === 'unreachable';
}
