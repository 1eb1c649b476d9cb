/** The one holder of the state: typed actions in, subscribers told. */

import type { State } from './model';
import { reduce, type Action } from './reducer';

export type Listener = (state: State, previous: State) => void;

export class Store {
  private current: State;
  private readonly listeners = new Set<Listener>();
  private readonly pending: Action[] = [];
  private busy = false;

  constructor(initial: State) {
    this.current = initial;
  }

  get state(): State {
    return this.current;
  }

  /** Listeners see actions one after another, also those that they dispatch themselves. */
  dispatch(action: Action): void {
    this.pending.push(action);
    if (this.busy) return;
    this.busy = true;
    try {
      for (let next = this.pending.shift(); next; next = this.pending.shift()) {
        const previous = this.current;
        this.current = reduce(previous, next);
        if (this.current === previous) continue;
        for (const listener of this.listeners) listener(this.current, previous);
      }
    } finally {
      this.busy = false;
      this.pending.length = 0;
    }
  }

  /** Returns the way to unsubscribe. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
