/** What lies under the pointer: a cell of a plate, or a point of the cloud. */

import { Vector3, type PerspectiveCamera } from 'three';
import type { Cloud } from './cloud';

const POINT_REACH_px = 9;

export interface Ray {
  origin: Vector3;
  direction: Vector3;
}

/** The ray through a point of the view; x and y in [-1, 1], y up. */
export function rayThrough(camera: PerspectiveCamera, x: number, y: number): Ray {
  const origin = camera.position.clone();
  const direction = new Vector3(x, y, 0.5).unproject(camera).sub(origin).normalize();
  return { origin, direction };
}

/** Where the ray meets the plane of the plates' fronts. */
export function onFront(ray: Ray): Vector3 | null {
  if (Math.abs(ray.direction.z) < 1e-6) return null;
  const distance = -ray.origin.z / ray.direction.z;
  return distance > 0 ? ray.origin.clone().addScaledVector(ray.direction, distance) : null;
}

export interface PointHit {
  point: number;
  /** Other points nearby on screen, nearest first. */
  neighbours: number[];
}

/** The drawn point nearest to the pointer (pixels from the view's top left), if it is near enough. */
export function pointAt(
  cloud: Cloud,
  camera: PerspectiveCamera,
  pointer: { x: number; y: number },
  size: { width: number; height: number },
): PointHit | null {
  const shown = cloud.known?.shown ?? 0;
  const matrix = camera.projectionMatrix.clone().multiply(camera.matrixWorldInverse);
  const at = new Vector3();
  const near: { point: number; distance: number }[] = [];
  const reach = POINT_REACH_px * 5;
  for (let point = 0; point < shown; point += 1) {
    cloud.worldOf(point, at).applyMatrix4(matrix);
    if (Math.abs(at.z) > 1) continue;
    const dx = (at.x * 0.5 + 0.5) * size.width - pointer.x;
    const dy = (0.5 - at.y * 0.5) * size.height - pointer.y;
    const distance = Math.hypot(dx, dy);
    if (distance <= reach) near.push({ point, distance });
  }
  near.sort((a, b) => a.distance - b.distance);
  if (near.length === 0 || near[0]!.distance > POINT_REACH_px) return null;
  return { point: near[0]!.point, neighbours: near.slice(1, 7).map((hit) => hit.point) };
}
