/** What a tensor gets its input from and what it feeds, as the ribbons of a layout tell it. */

import type { Layout } from './boxes';

export interface Feeds {
  /** Tensors, ascending. */
  sources: number[];
  targets: number[];
  /** Lines, as indices into the layout's. */
  incoming: number[];
  outgoing: number[];
}

/** Neighbours along the flow. All are empty where the layout knows no flow (a generic one). */
export function feedsOf(layout: Pick<Layout, 'lines'>, tensor: number): Feeds {
  const incoming: number[] = [];
  const outgoing: number[] = [];
  layout.lines.forEach(({ from, to }, line) => {
    if (to.includes(tensor)) incoming.push(line);
    if (from.includes(tensor)) outgoing.push(line);
  });
  const named = (lines: readonly number[], end: 'from' | 'to') =>
    [...new Set(lines.flatMap((line) => layout.lines[line]![end]))].sort((a, b) => a - b);
  return { sources: named(incoming, 'from'), targets: named(outgoing, 'to'), incoming, outgoing };
}
