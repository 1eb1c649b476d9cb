/** What is new in the runs: one event stream, or polling where streams are not to be had. */

import { ApiError, type Api, type TailRun } from './api';
import { decodeUpdate } from './decode';
import type { TailProblem, TailUpdate } from './types';

export type Connection = 'connecting' | 'live' | 'polling' | 'lost';

/** The part of EventSource that is used here. */
export interface Stream {
  onopen: ((event: Event) => void) | null;
  onerror: ((event: Event) => void) | null;
  addEventListener(type: 'update' | 'problem', listener: (event: MessageEvent<string>) => void): void;
  close(): void;
}

export interface TailOptions {
  openStream: (url: string) => Stream;
  setTimer: (callback: () => void, delay_ms: number) => number;
  clearTimer: (timer: number) => void;
  pollInterval_ms: number;
  /** Polls between two tries at a stream. */
  pollsPerStreamTry: number;
  retryDelays_ms: readonly number[];
  /** A stream that says nothing for so long is checked with one poll. */
  silence_ms: number;
}

export const TAIL_DEFAULTS: TailOptions = {
  openStream: (url) => new EventSource(url) as unknown as Stream,
  setTimer: (callback, delay_ms) => setTimeout(callback, delay_ms) as unknown as number,
  clearTimer: (timer) => clearTimeout(timer),
  pollInterval_ms: 1000,
  pollsPerStreamTry: 15,
  retryDelays_ms: [250, 500, 1000, 2000, 4000],
  silence_ms: 15_000,
};

export interface TailListener {
  update(update: TailUpdate): void;
  /** A run that cannot be followed now, or can be again; the tail goes on for the others. */
  problem(problem: TailProblem): void;
  connection(state: Connection): void;
}

export class Tail {
  private readonly cursors: Map<string, string>;
  /** Runs that cannot be followed, as far as the listener knows. */
  private readonly troubled: Set<string>;
  private readonly api: Api;
  private readonly listener: TailListener;
  private readonly options: TailOptions;
  private stream: Stream | null = null;
  private timer: number | null = null;
  private failures = 0;
  private polls = 0;
  private closed = false;
  private state: Connection = 'connecting';

  constructor(
    api: Api,
    runs: readonly TailRun[],
    listener: TailListener,
    options: Partial<TailOptions> = {},
  ) {
    this.api = api;
    this.cursors = new Map(runs.map(({ run, cursor }) => [run, cursor]));
    // Whatever was wrong when they were opened, the first answer says whether it still is.
    this.troubled = new Set(this.cursors.keys());
    this.listener = listener;
    this.options = { ...TAIL_DEFAULTS, ...options };
  }

  start(): void {
    this.openStream();
  }

  /** Tries again at once, instead of after the present delay. */
  retry(): void {
    if (this.closed || this.state === 'live') return;
    this.failures = 0;
    this.openStream();
  }

  close(): void {
    this.closed = true;
    this.stop();
  }

  private get runs(): TailRun[] {
    return [...this.cursors].map(([run, cursor]) => ({ run, cursor }));
  }

  private stop(): void {
    this.stream?.close();
    this.stream = null;
    if (this.timer !== null) this.options.clearTimer(this.timer);
    this.timer = null;
  }

  private after(delay_ms: number, action: () => void): void {
    if (this.timer !== null) this.options.clearTimer(this.timer);
    this.timer = this.options.setTimer(() => {
      this.timer = null;
      if (!this.closed) action();
    }, delay_ms);
  }

  private openStream(): void {
    this.stop();
    const stream = this.options.openStream(this.api.tailUrl(this.runs));
    this.stream = stream;
    stream.onopen = () => {
      this.failures = 0;
      this.takeProblems([]);
      this.enter('live');
      this.watchSilence();
    };
    stream.addEventListener('update', (event) => {
      this.enter('live');
      this.take(decodeUpdate(JSON.parse(event.data) as TailUpdate));
      this.watchSilence();
    });
    stream.addEventListener('problem', (event) => this.takeProblem(JSON.parse(event.data) as TailProblem));
    // The browser's own reconnection would go back to the first cursors: ours knows the newest.
    stream.onerror = () => {
      this.stop();
      void this.poll();
    };
  }

  private watchSilence(): void {
    this.after(this.options.silence_ms, () => void this.checkSilentStream());
  }

  private async checkSilentStream(): Promise<void> {
    try {
      const iterations = await this.takeAll();
      if (this.closed) return;
      // News that the stream did not bring means that the stream is dead.
      if (iterations > 0) this.openStream();
      else this.watchSilence();
    } catch {
      if (!this.closed) this.lose();
    }
  }

  /** Asks once; a server that answers is polled, one that does not is lost. */
  private async poll(): Promise<void> {
    try {
      await this.takeAll();
      if (this.closed) return;
      const streamMayWork = this.state === 'lost' || this.state === 'live';
      this.polls += 1;
      this.failures = 0;
      this.enter('polling');
      const tryStream = streamMayWork || this.polls % this.options.pollsPerStreamTry === 0;
      this.after(this.options.pollInterval_ms, () => (tryStream ? this.openStream() : void this.poll()));
    } catch (error) {
      if (this.closed) return;
      if (error instanceof ApiError && error.kind === 'busy') {
        this.after(this.options.pollInterval_ms, () => void this.poll());
        return;
      }
      this.lose();
    }
  }

  /** Polls until nothing is new, since a long history comes in pieces; answers how many iterations came. */
  private async takeAll(): Promise<number> {
    let iterations = 0;
    for (;;) {
      const { updates, problems } = await this.api.poll(this.runs);
      if (this.closed) return iterations;
      this.takeProblems(problems);
      for (const update of updates) {
        this.take(update);
        iterations += update.iterations.length;
      }
      if (updates.length === 0) return iterations;
    }
  }

  private lose(): void {
    this.stop();
    this.enter('lost');
    const delays = this.options.retryDelays_ms;
    const delay = delays[Math.min(this.failures, delays.length - 1)]!;
    this.failures += 1;
    this.after(delay, () => void this.poll());
  }

  private take(update: TailUpdate): void {
    this.cursors.set(update.run, update.cursor);
    this.listener.update(update);
  }

  /** All that is wrong now: a stream begins with it, a poll answers with it. */
  private takeProblems(problems: readonly TailProblem[]): void {
    const named = new Set(problems.map(({ run }) => run));
    for (const run of [...this.troubled]) if (!named.has(run)) this.takeProblem({ run, error: null });
    for (const problem of problems) this.takeProblem(problem);
  }

  private takeProblem(problem: TailProblem): void {
    if (problem.error) this.troubled.add(problem.run);
    else this.troubled.delete(problem.run);
    this.listener.problem(problem);
  }

  private enter(state: Connection): void {
    if (state === this.state) return;
    this.state = state;
    this.listener.connection(state);
  }
}
