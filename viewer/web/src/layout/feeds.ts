/** What a tensor gets its input from and what it feeds, as the ribbons of a layout tell it. */

import type { Box, Layout, Line } from './boxes';
import type { Rgb } from './colour';

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

/** Where a tensor gets its input from, and what it feeds: blue and amber, which all eyes tell apart. */
export const FEED_HUES: Record<'source' | 'target', Rgb> = { source: [0.36, 0.72, 1], target: [1, 0.68, 0.16] };

const OUTLINE = 0.3;
/** World units between a plate and the outline around it. */
const AWAY = 0.5;

/** The ribbons to and from a tensor once more in their hues, and outlines around its sources and targets. */
export function feedLines(layout: Pick<Layout, 'lines' | 'boxes'>, tensor: number): Line[] {
  const { sources, targets, incoming, outgoing } = feedsOf(layout, tensor);
  const lit = (lines: readonly number[], hue: Rgb) => lines.map((line) => ({ ...layout.lines[line]!, hue }));
  const around = (tensors: readonly number[], hue: Rgb) =>
    layout.boxes
      .filter((box) => box.tensor !== tensor && tensors.includes(box.tensor))
      .flatMap((box) => (box.slices ?? [box]).map((place) => outline(box, place, hue)));
  return [
    ...lit(incoming, FEED_HUES.source),
    ...lit(outgoing, FEED_HUES.target),
    ...around(sources, FEED_HUES.source),
    ...around(targets, FEED_HUES.target),
  ];
}

function outline({ block }: Box, { x, y, width, height }: Pick<Box, 'x' | 'y' | 'width' | 'height'>, hue: Rgb): Line {
  const [right, top] = [x + width / 2 + AWAY, y + height / 2 + AWAY];
  const [left, bottom] = [x - width / 2 - AWAY, y - height / 2 - AWAY];
  // From the middle of an edge, so that both ends meet in a straight line.
  const points: Line['points'] = [[x, top], [right, top], [right, bottom], [left, bottom], [left, top], [x, top]];
  return { kind: 'dimension', points, block, arrow: false, thickness: OUTLINE, from: [], to: [], hue };
}
