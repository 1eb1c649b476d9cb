/** Playback: walks along the recorded iterations, and waits for pictures rather than running ahead of them. */

import type { Store } from './store';
import { BASE_RATE_hz, strideOf } from './stride';
import { indexAtOrBefore } from './timeline';

export interface Clock {
  now_ms(): number;
  /** Calls back with the next drawn frame; returns a handle to cancel. */
  next(callback: () => void): number;
  cancel(handle: number): void;
}

export class Player {
  private readonly store: Store;
  private readonly clock: Clock;
  /** True while the last wished picture is not on screen. */
  private readonly waiting: () => boolean;
  private handle: number | null = null;
  private last_ms = 0;
  /** Snapshots that are due, as a fraction. */
  private due = 0;
  /** Told, with each drawn frame while playing, how far it is from the snapshot shown to the next one: 0 to 1. */
  onProgress: (share: number) => void = () => undefined;

  constructor(store: Store, clock: Clock, waiting: () => boolean) {
    this.store = store;
    this.clock = clock;
    this.waiting = waiting;
    store.subscribe((state, previous) => {
      if (state.playing && !previous.playing) this.begin();
      if (!state.playing && previous.playing) this.end();
    });
  }

  toggle(): void {
    if (this.store.state.playing) this.store.dispatch({ type: 'playing', playing: false });
    else this.play();
  }

  /** From the end it starts over. */
  play(): void {
    const { state } = this.store;
    if (state.timeline.length === 0) return;
    if (state.cursor !== null && state.cursor >= state.timeline.at(-1)!) this.store.dispatch({ type: 'first' });
    this.store.dispatch({ type: 'playing', playing: true });
  }

  private begin(): void {
    this.last_ms = this.clock.now_ms();
    this.due = 0;
    this.schedule();
  }

  private end(): void {
    if (this.handle !== null) this.clock.cancel(this.handle);
    this.handle = null;
    this.onProgress(0);
  }

  private schedule(): void {
    this.handle = this.clock.next(() => {
      this.handle = null;
      this.tick();
    });
  }

  private tick(): void {
    const { state } = this.store;
    if (!state.playing || state.cursor === null) return;
    const now_ms = this.clock.now_ms();
    const elapsed_s = (now_ms - this.last_ms) / 1000;
    this.last_ms = now_ms;
    // Time spent waiting is not made up for: the picture would jump.
    if (!this.waiting()) this.due += Math.min(elapsed_s, 0.25) * BASE_RATE_hz * state.speed;
    const stride = strideOf(state.speed);
    const whole = Math.floor(this.due / stride) * stride;
    if (whole > 0) {
      this.due -= whole;
      this.advance(whole);
    }
    this.onProgress(Math.min(this.due / stride, 1));
    if (this.store.state.playing) this.schedule();
  }

  private advance(by: number): void {
    const { timeline, cursor } = this.store.state;
    const index = Math.min(indexAtOrBefore(timeline, cursor!) + by, timeline.length - 1);
    this.store.dispatch({ type: 'advance', iteration: timeline[index]! });
    if (index < timeline.length - 1) return;
    this.store.dispatch({ type: 'playing', playing: false });
    this.store.dispatch({ type: 'last' });
  }
}
