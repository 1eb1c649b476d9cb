/** Snapshots by run and iteration: from memory, else from the server, each in the basis wished for. */

import { ApiError, type Api, type FramePart } from './api';
import { ByteLru } from './cache';
import { DecodeError, frameBytes } from './decode';
import { Scheduler, wantKey, type Priority, type SchedulerOptions, type Want } from './scheduler';
import { isFailure, type ErrorKind, type Frame, type FrameFailure, type FrameResult } from './types';

export const FRAME_BUDGET_BYTES = 192 * 1024 * 1024;

export interface Wish {
  run: string;
  iteration: number;
  priority: Priority;
}

export interface FrameListener {
  /** A frame, or the reason why there is none, is now in memory. */
  arrived(run: string, iteration: number): void;
  /** The server did not answer; the wish stands and can be repeated. */
  unreachable(kind: ErrorKind): void;
}

const frameKey = (run: string, iteration: number) => `${run}/${iteration}`;

export class FrameSource {
  private readonly cache: ByteLru<Frame>;
  private readonly failures = new Map<string, FrameFailure['error']>();
  private readonly basisOf = new Map<string, number | null>();
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
    this.cache = new ByteLru(options.budgetBytes ?? FRAME_BUDGET_BYTES);
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
      const part = this.missingPart(wish.run, wish.iteration);
      if (part) wants.push({ ...wish, part });
    }
    this.scheduler.setWants(wants);
  }

  /** The whole frame in the right basis, or undefined while some of it is missing. */
  get(run: string, iteration: number): Frame | undefined {
    const frame = this.cache.get(frameKey(run, iteration));
    return frame && this.isInBasis(run, frame) ? frame : undefined;
  }

  failure(run: string, iteration: number): FrameFailure['error'] | undefined {
    return this.failures.get(frameKey(run, iteration));
  }

  has(run: string, iteration: number): boolean {
    return this.missingPart(run, iteration) === null;
  }

  isLoading(run: string, iteration: number): boolean {
    const parts: FramePart[] = ['frame', 'embedding'];
    return parts.some((part) => this.scheduler.isFlying(wantKey({ run, iteration, part })));
  }

  /** Forgets failures, so that what was damaged or away is asked for again. */
  forgetFailures(): void {
    this.failures.clear();
  }

  get counters(): { cacheBytes: number; cachedFrames: number; inFlight: number; aborted: number } {
    return {
      cacheBytes: this.cache.bytes,
      cachedFrames: this.cache.size,
      inFlight: this.scheduler.inFlight,
      aborted: this.scheduler.aborted,
    };
  }

  private isInBasis(run: string, frame: Frame): boolean {
    const basis = this.basisOf.get(run) ?? null;
    return frame.embedding === null || basis === null || frame.embedding.basis === basis;
  }

  private missingPart(run: string, iteration: number): FramePart | null {
    const key = frameKey(run, iteration);
    if (this.failures.has(key)) return null;
    const frame = this.cache.peek(key);
    if (!frame) return 'frame';
    return this.isInBasis(run, frame) ? null : 'embedding';
  }

  private async fetch(batch: readonly Want[], signal: AbortSignal): Promise<() => void> {
    const { run, part } = batch[0]!;
    const iterations = batch.map((want) => want.iteration);
    const basis = this.basisOf.get(run) ?? null;
    try {
      const results = await this.api.frames(run, iterations, part, basis, signal);
      return () => {
        for (const result of results) this.keep(run, part, result);
      };
    } catch (error) {
      return () => this.fail(batch, error);
    }
  }

  private keep(run: string, part: FramePart, result: FrameResult): void {
    const key = frameKey(run, result.iteration);
    if (isFailure(result)) {
      if (isPassing(result.error.kind)) {
        this.listener.unreachable(result.error.kind);
        return;
      }
      this.failures.set(key, result.error);
    } else if (part === 'frame') {
      this.cache.set(key, result, frameBytes(result));
    } else {
      const whole = this.cache.peek(key);
      if (!whole) return;
      const turned = { ...whole, embedding: result.embedding };
      this.cache.set(key, turned, frameBytes(turned));
    }
    this.listener.arrived(run, result.iteration);
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
    for (const { run, iteration } of batch) {
      const { kind, message, key } = error;
      this.failures.set(frameKey(run, iteration), { kind, message, key });
      this.listener.arrived(run, iteration);
    }
  }
}

/** Says nothing of the frame itself: it is asked for again. */
function isPassing(kind: ErrorKind): boolean {
  return kind === 'network' || kind === 'busy' || kind === 'unreachable';
}
