/** A scalar over iterations that grows at its end. */

import type { Series } from '../data/types';
import { indexAtOrBefore } from './timeline';

export class GrowingSeries {
  readonly iterations: number[];
  readonly values: number[];

  constructor(series?: Series) {
    this.iterations = series ? Array.from(series.iterations) : [];
    this.values = series ? Array.from(series.values) : [];
  }

  /** Adds a value; a second one for the same iteration replaces the first. */
  add(iteration: number, value: number): void {
    const at = indexAtOrBefore(this.iterations, iteration);
    if (at >= 0 && this.iterations[at] === iteration) {
      this.values[at] = value;
    } else if (at === this.iterations.length - 1) {
      this.iterations.push(iteration);
      this.values.push(value);
    } else {
      this.iterations.splice(at + 1, 0, iteration);
      this.values.splice(at + 1, 0, value);
    }
  }

  /** The newest value that is not after the cursor. */
  at(cursor: number): number | null {
    const index = indexAtOrBefore(this.iterations, cursor);
    return index < 0 ? null : this.values[index]!;
  }
}
