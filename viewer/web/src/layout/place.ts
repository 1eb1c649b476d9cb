/** Where a camera stands, told by what it looks at: a window of another shape, which lays out otherwise, finds it too. */

import type { Layout } from './boxes';

/** A point looked at, in world units from the middle of its anchor; a distance; two angles in radians. */
export interface Place {
  /** a tensor's index in the plan, or the cloud */
  anchor: number | 'cloud';
  x: number;
  y: number;
  z: number;
  distance: number;
  yaw: number;
  pitch: number;
}

type Pose = Omit<Place, 'anchor'>;

interface Anchor {
  anchor: Place['anchor'];
  x: number;
  y: number;
}

function anchorsOf({ boxes, cloud }: Layout): Anchor[] {
  const anchors: Anchor[] = boxes.map(({ tensor, x, y }) => ({ anchor: tensor, x, y }));
  return cloud ? [{ anchor: 'cloud', x: cloud.x, y: cloud.y }, ...anchors] : anchors;
}

/** A pose of the layout's world, told from the nearest anchor; null where there is nothing to tell it from. */
export function placeOf(layout: Layout, pose: Pose): Place | null {
  let nearest: Anchor | null = null;
  let least = Infinity;
  for (const anchor of anchorsOf(layout)) {
    const apart = Math.hypot(anchor.x - pose.x, anchor.y - pose.y);
    if (apart < least) [nearest, least] = [anchor, apart];
  }
  return nearest && { ...pose, anchor: nearest.anchor, x: pose.x - nearest.x, y: pose.y - nearest.y };
}

/** The pose of a place; null where the layout does not have its anchor. */
export function poseAt(layout: Layout, { anchor, ...place }: Place): Pose | null {
  const found = anchorsOf(layout).find((one) => one.anchor === anchor);
  return found ? { ...place, x: place.x + found.x, y: place.y + found.y } : null;
}

/** The part of the model that a point is in, or the nearest one; -1 where there is none. */
export function regionNear({ regions }: Layout, at: { x: number; y: number }): number {
  let nearest = -1;
  let least = Infinity;
  regions.forEach(({ rect }, index) => {
    const dx = Math.max(rect.left - at.x, at.x - rect.right, 0);
    const dy = Math.max(rect.bottom - at.y, at.y - rect.top, 0);
    // Of parts around the same point the one whose middle is nearest.
    const middle = Math.hypot((rect.left + rect.right) / 2 - at.x, (rect.bottom + rect.top) / 2 - at.y);
    const apart = Math.hypot(dx, dy) + middle * 1e-3;
    if (apart < least) [nearest, least] = [index, apart];
  });
  return nearest;
}
