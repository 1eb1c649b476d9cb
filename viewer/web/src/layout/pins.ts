/** Where names stand that must stay at their points: beside them, or a little off with a leader. Screen pixels, y down. */

import { meets, type ScreenRect } from './labels';

export interface Pin {
  x: number;
  y: number;
  /** of its name */
  width: number;
}

export interface PinPlace {
  left: number;
  top: number;
  /** which of the places around a point it is */
  slot: number;
  /** Stands so far off that a line must lead to it. */
  isLed: boolean;
}

export const PIN_HEIGHT_px = 19;
const BESIDE_px = 11;
const GAP_px = 2;
/** Half of the ring around a point. */
const RING_px = 8;

/** From a point to the middle of its name's near end: right, left, and then in rings around it. */
const SLOTS: readonly { dx: number; dy: number }[] = [
  { dx: BESIDE_px, dy: 0 },
  { dx: -BESIDE_px, dy: 0 },
  ...[22, 44, 66].flatMap((away) =>
    [-1, 1].flatMap((down) => [1, -1].map((right) => ({ dx: right * (12 + away / 4), dy: down * away }))),
  ),
];

/**
 * A place for each name in turn, in which it lies on no other name, no other point's ring and nothing that is blocked;
 * null where there is none. `last`: the slots of a moment ago, kept where they are still free, so that nothing jumps.
 */
export function placePins(
  pins: readonly Pin[],
  blocked: readonly ScreenRect[] = [],
  last: readonly (number | null)[] = [],
): (PinPlace | null)[] {
  const taken: ScreenRect[] = [...blocked];
  const rings = pins.map(({ x, y }): ScreenRect => ({
    ...{ left: x - RING_px, top: y - RING_px, width: 2 * RING_px, height: 2 * RING_px },
  }));
  return pins.map((pin, number) => {
    const kept = last[number] ?? null;
    const order = [...SLOTS.keys()].sort((a, b) => Number(b === kept) - Number(a === kept) || a - b);
    for (const slot of order) {
      const { dx, dy } = SLOTS[slot]!;
      const rect = {
        left: dx > 0 ? pin.x + dx : pin.x + dx - pin.width,
        top: pin.y + dy - PIN_HEIGHT_px / 2,
        width: pin.width,
        height: PIN_HEIGHT_px,
      };
      const wide = { left: rect.left - GAP_px, top: rect.top - GAP_px, width: rect.width + 2 * GAP_px, height: rect.height + 2 * GAP_px };
      if (taken.some((other) => meets(wide, other))) continue;
      if (rings.some((ring, other) => other !== number && meets(rect, ring))) continue;
      taken.push(rect);
      return { left: rect.left, top: rect.top, slot, isLed: dy !== 0 };
    }
    return null;
  });
}
