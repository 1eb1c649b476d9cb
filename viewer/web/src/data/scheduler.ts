/**
 * Which requests fly. The caller says what it wants now, all of it, each time;
 * whatever flies and is wanted no more is aborted, the rest starts by priority.
 */

import type { FramePart } from './api';

/** Lower goes first. */
export const Priority = { visible: 0, prefetch: 1, recent: 2 } as const;
export type Priority = (typeof Priority)[keyof typeof Priority];

export interface Want {
  run: string;
  iteration: number;
  part: FramePart;
  priority: Priority;
}

export interface SchedulerOptions {
  /** Browsers open six connections to a host. */
  maxInFlight: number;
  /** Of those, kept free for what the person looks at. */
  reservedForVisible: number;
  /** Frames in one request; docs/HTTP.md allows 16. */
  maxBatch: number;
}

export const SCHEDULER_DEFAULTS: SchedulerOptions = { maxInFlight: 6, reservedForVisible: 2, maxBatch: 8 };

/**
 * Fetches a batch and answers with the way to hand it over, which is called when the flight has landed:
 * so whoever wishes anew on the news doesn't find a flight that is over. Never rejects.
 */
export type BatchFetch = (batch: readonly Want[], signal: AbortSignal) => Promise<() => void>;

interface Flight {
  keys: Set<string>;
  priority: Priority;
  controller: AbortController;
}

export function wantKey(want: Pick<Want, 'run' | 'iteration' | 'part'>): string {
  return `${want.run}/${want.iteration}/${want.part}`;
}

export class Scheduler {
  private queue: Want[] = [];
  private readonly flights = new Set<Flight>();
  private readonly fetchBatch: BatchFetch;
  private readonly options: SchedulerOptions;
  /** Requests aborted because they were overtaken. */
  aborted = 0;
  /** The most requests that ever flew at once. */
  mostInFlight = 0;

  constructor(fetchBatch: BatchFetch, options: Partial<SchedulerOptions> = {}) {
    this.fetchBatch = fetchBatch;
    this.options = { ...SCHEDULER_DEFAULTS, ...options };
  }

  get inFlight(): number {
    return this.flights.size;
  }

  /** Replaces all wishes. `wants` are not in the cache; earlier ones go first within a priority. */
  setWants(wants: readonly Want[]): void {
    const wanted = new Map(wants.map((want) => [wantKey(want), want]));
    for (const flight of this.flights) {
      if (![...flight.keys].some((key) => wanted.has(key))) this.abort(flight);
    }
    const flying = new Set([...this.flights].flatMap((flight) => [...flight.keys]));
    this.queue = [...wanted.values()]
      .filter((want) => !flying.has(wantKey(want)))
      .sort((a, b) => a.priority - b.priority);
    this.pump();
  }

  isFlying(key: string): boolean {
    return [...this.flights].some((flight) => flight.keys.has(key));
  }

  private abort(flight: Flight): void {
    this.flights.delete(flight);
    this.aborted += 1;
    flight.controller.abort();
  }

  private pump(): void {
    while (this.queue.length > 0) {
      const next = this.queue[0]!;
      const { maxInFlight, reservedForVisible } = this.options;
      const limit = next.priority === Priority.visible ? maxInFlight : maxInFlight - reservedForVisible;
      if (this.flights.size >= limit) {
        if (next.priority !== Priority.visible || !this.makeRoom()) return;
      }
      this.start(this.takeBatch());
    }
  }

  /** Gives up one prefetch for something visible. */
  private makeRoom(): boolean {
    const idle = [...this.flights].filter((flight) => flight.priority !== Priority.visible);
    const last = idle.at(-1);
    if (last) this.abort(last);
    return last !== undefined;
  }

  /** Visible frames go alone, for the sake of the first pixel; the others share requests. */
  private takeBatch(): Want[] {
    const first = this.queue.shift()!;
    if (first.priority === Priority.visible) return [first];
    const batch = [first];
    this.queue = this.queue.filter((want) => {
      const together =
        batch.length < this.options.maxBatch &&
        want.run === first.run &&
        want.part === first.part &&
        want.priority === first.priority;
      if (together) batch.push(want);
      return !together;
    });
    return batch;
  }

  private start(batch: Want[]): void {
    const flight: Flight = {
      keys: new Set(batch.map(wantKey)),
      priority: batch[0]!.priority,
      controller: new AbortController(),
    };
    this.flights.add(flight);
    this.mostInFlight = Math.max(this.mostInFlight, this.flights.size);
    void this.fetchBatch(batch, flight.controller.signal).then((deliver) => {
      if (!this.flights.delete(flight)) return;
      deliver();
      this.pump();
    });
  }
}
