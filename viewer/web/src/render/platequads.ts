/** Where plates are on screen, so that no label lies on one. */

import type { PerspectiveCamera } from 'three';
import type { Box } from '../layout/boxes';
import type { Quad } from '../layout/labels';

/** A rectangle of the front plane. */
export type Plate = Pick<Box, 'x' | 'y' | 'width' | 'height'>;

/** What is smaller than this on screen is nothing that a label could hide. */
const LEAST_px = 6;

/** Corners of those plates that are at least partly in a window of this size, CSS pixels. */
export function quadsOf(plates: readonly Plate[], camera: PerspectiveCamera, width_px: number, height_px: number): Quad[] {
  const m = camera.projectionMatrix.clone().multiply(camera.matrixWorldInverse).elements;
  const quads: Quad[] = [];
  for (const { x, y, width, height } of plates) {
    const quad: number[] = [];
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let corner = 0; corner < 4; corner += 1) {
      const at = x + (corner === 0 || corner === 3 ? -width : width) / 2;
      const up = y + (corner < 2 ? height : -height) / 2;
      const w = m[3]! * at + m[7]! * up + m[15]!;
      // Behind the camera; such a plate is no ground for labels.
      if (w <= 0) break;
      const px = ((m[0]! * at + m[4]! * up + m[12]!) / w / 2 + 0.5) * width_px;
      const py = (0.5 - (m[1]! * at + m[5]! * up + m[13]!) / w / 2) * height_px;
      quad.push(px, py);
      [left, right] = [Math.min(left, px), Math.max(right, px)];
      [top, bottom] = [Math.min(top, py), Math.max(bottom, py)];
    }
    if (quad.length < 8 || right < 0 || left > width_px || bottom < 0 || top > height_px) continue;
    if (right - left < LEAST_px && bottom - top < LEAST_px) continue;
    quads.push(quad as unknown as Quad);
  }
  return quads;
}
