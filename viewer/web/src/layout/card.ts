/** Where a card about something stands: beside it, not on it. Screen pixels, y down. */

import { meets, type ScreenRect } from './labels';

interface Point {
  x: number;
  y: number;
}

interface Size {
  width: number;
  height: number;
}

/**
 * `keeps`: sets of rectangles to leave uncovered, the most wished for first; the card goes beside the first set that
 * leaves room for it, as near to the pointer as that allows. Where none does, it stands beside the pointer, if it
 * can where it covers nothing of the last set but what lies around the pointer.
 */
export function placeCard(
  at: Point,
  size: Size,
  room: ScreenRect,
  keeps: readonly (readonly ScreenRect[])[],
  gap_px: number,
): { left: number; top: number } {
  const { width, height } = size;
  const within = (value: number, low: number, extent: number, own: number) =>
    Math.max(Math.min(value, low + extent - own), low);
  const clampX = (left: number) => within(left, room.left, room.width, width);
  const clampY = (top: number) => within(top, room.top, room.height, height);
  const beside = ({ left, top, width: wide, height: high }: ScreenRect) => [
    { left: left + wide + gap_px, top: clampY(at.y - height / 2) },
    { left: left - gap_px - width, top: clampY(at.y - height / 2) },
    { left: clampX(at.x - width / 2), top: top + high + gap_px },
    { left: clampX(at.x - width / 2), top: top - gap_px - height },
  ];
  const isInside = ({ left, top }: { left: number; top: number }) => clampX(left) === left && clampY(top) === top;
  for (const keep of keeps) {
    const spot = keep.length > 0 && beside(around(keep)).find(isInside);
    if (spot) return spot;
  }
  const byPointer = [clampY(at.y - height / 2), clampY(at.y - height - gap_px), clampY(at.y + gap_px)]
    .flatMap((top) => [at.x + gap_px, at.x - gap_px - width].map((left) => ({ left, top })))
    .filter(isInside);
  const others = (keeps.at(-1) ?? []).filter((rect) => !meets(rect, { left: at.x, top: at.y, width: 1, height: 1 }));
  const clear = byPointer.find((spot) => !others.some((rect) => meets({ ...spot, ...size }, rect)));
  return clear ?? byPointer[0] ?? { left: clampX(at.x - gap_px - width), top: clampY(at.y - height / 2) };
}

function around(rects: readonly ScreenRect[]): ScreenRect {
  const left = Math.min(...rects.map((rect) => rect.left));
  const top = Math.min(...rects.map((rect) => rect.top));
  const right = Math.max(...rects.map((rect) => rect.left + rect.width));
  const bottom = Math.max(...rects.map((rect) => rect.top + rect.height));
  return { left, top, width: right - left, height: bottom - top };
}
