/** The paths that data takes, as ribbons: as wide as what they carry, and with the names of what they join. */

import type { Block } from '../data/types';
import type { Line } from './boxes';
import { sideLength } from './size';

const THICKNESS = 0.05;
const THINNEST = 0.3;
const RING_POINTS = 20;

type Point = [number, number];

/** World thickness of a ribbon that carries vectors of this length. */
export function ribbonWidth(extent: number): number {
  return Math.max(sideLength(extent) * THICKNESS, THINNEST);
}

/** `from` and `to`: the tensors it joins. */
export function ribbon(
  points: Point[],
  block: Block,
  extent: number,
  ends: { from: number[]; to: number[]; arrow?: boolean },
): Line {
  const { from, to, arrow = true } = ends;
  return { kind: 'flow', points, block, arrow, thickness: ribbonWidth(extent), from, to };
}

/** A plus in a ring: here what comes in is added to the stream. */
export function plusSign(x: number, y: number, radius: number): Line[] {
  const line = (points: Point[], thickness: number): Line => ({
    ...{ kind: 'sum', points, block: 'other', arrow: false, thickness: thickness * radius, from: [], to: [] },
  });
  const ring = Array.from({ length: RING_POINTS + 1 }, (_, index): Point => {
    const angle = (index / RING_POINTS) * 2 * Math.PI;
    return [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
  });
  const arm = radius * 0.55;
  return [
    line(ring, 0.26),
    line([[x - arm, y], [x + arm, y]], 0.26), // prettier-ignore
    line([[x, y - arm], [x, y + arm]], 0.26), // prettier-ignore
  ];
}
