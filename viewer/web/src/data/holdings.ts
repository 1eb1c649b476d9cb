/** Which snapshot holds a further part: each answer of the server is good for a whole range of iterations. */

import type { Holding } from './api';

interface Range {
  from: number;
  to: number;
  iteration: number | null;
}

export class Holdings {
  private readonly ranges = new Map<string, Range[]>();

  /** The newest holder not after an iteration, null where there is none, undefined while nobody has asked. */
  at(key: string, iteration: number): number | null | undefined {
    return this.ranges.get(key)?.find(({ from, to }) => iteration >= from && iteration <= to)?.iteration;
  }

  /** Takes an answer. `newest`: the last snapshot that was known when it was asked for; one that comes later may hold the part. */
  learn(key: string, asked: number, { iteration, next }: Holding, newest: number): void {
    const known = this.ranges.get(key) ?? [];
    const to = next === null ? Math.max(newest, asked) : next - 1;
    known.push({ from: iteration ?? -Infinity, to, iteration });
    if (next !== null) known.push({ from: next, to: next, iteration: next });
    this.ranges.set(key, known);
  }

  forget(): void {
    this.ranges.clear();
  }
}
