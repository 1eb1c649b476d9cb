/** What was asked of the server and what came: each question once, the last ones kept. */

import { messageOf } from './session';

export interface Answer<T> {
  value: T | null;
  /** why there is no value; null while it is on its way */
  failure: string | null;
}

/** A question that failed may be asked again after this. */
const RETRY_ms = 4000;

const NOT_YET: Answer<never> = { value: null, failure: null };

export class Answers<T> {
  private readonly known = new Map<string, Answer<T>>();
  private readonly refreshing = new Set<string>();
  private readonly most: number;
  private readonly changed: () => void;

  /** `changed` is called when something asked for has come, or has not. */
  constructor(most: number, changed: () => void) {
    this.most = most;
    this.changed = changed;
  }

  /** What is known by this key; asks if nothing is. */
  get(key: string, ask: () => Promise<T>): Answer<T> {
    const known = this.known.get(key);
    if (known) {
      this.keep(key, known);
      return known;
    }
    this.keep(key, NOT_YET);
    ask().then(
      (value) => this.arrived(key, { value, failure: null }),
      (error: unknown) => this.arrived(key, { value: null, failure: messageOf(error) }),
    );
    return NOT_YET;
  }

  /** What is known by this key, and null if nothing is: nothing is asked. */
  peek(key: string): T | null {
    return this.known.get(key)?.value ?? null;
  }

  set(key: string, value: T): void {
    this.keep(key, { value, failure: null });
  }

  /** Asks again, once at a time; what is known stays until something newer has come. */
  refresh(key: string, ask: () => Promise<T>): void {
    if (this.refreshing.has(key)) return;
    this.refreshing.add(key);
    ask()
      .then(
        (value) => this.arrived(key, { value, failure: null }),
        () => undefined,
      )
      .finally(() => this.refreshing.delete(key));
  }

  private arrived(key: string, answer: Answer<T>): void {
    if (!this.known.has(key)) return;
    this.keep(key, answer);
    if (answer.failure !== null) setTimeout(() => this.known.get(key) === answer && this.known.delete(key), RETRY_ms);
    this.changed();
  }

  /** The last used come last, and the first go. */
  private keep(key: string, answer: Answer<T>): void {
    this.known.delete(key);
    this.known.set(key, answer);
    for (const oldest of this.known.keys()) {
      if (this.known.size <= this.most) return;
      this.known.delete(oldest);
    }
  }
}
