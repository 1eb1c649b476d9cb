/** At which of a plan's recorded rows a token lies. */

import type { Plan } from '../data/types';

export class TokenRows {
  private readonly rows = new WeakMap<Plan, Map<number, number>>();

  /** -1 where the token is not recorded. */
  of(plan: Plan, token: number): number {
    let rows = this.rows.get(plan);
    if (!rows) {
      rows = new Map(tokensOf(plan).map((one, row) => [one, row]));
      this.rows.set(plan, rows);
    }
    return rows.get(token) ?? -1;
  }
}

export function tokensOf(plan: Plan): readonly number[] {
  return plan.embedding_tokens ?? [];
}
