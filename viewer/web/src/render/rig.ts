/** The one camera of all views: a point looked at, a distance, two angles; glides between poses. */

import { Box3, PerspectiveCamera, Vector3 } from 'three';
import type { Rect } from '../layout/boxes';

export interface Pose {
  x: number;
  y: number;
  z: number;
  distance: number;
  /** radians around the vertical; positive looks from the right */
  yaw: number;
  /** radians above the horizon */
  pitch: number;
}

/** Shares of a view's height. */
export interface Inset {
  top: number;
  bottom: number;
}

const FIELD_OF_VIEW_deg = 24;
const GLIDE_ms = 700;
const MOST_PITCH = 1.45;
/** From where something is looked at: radians, as in a pose. */
export type Angles = Pick<Pose, 'yaw' | 'pitch'>;

export const ANGLES = {
  home: { yaw: -0.3, pitch: 0.17 },
  fly: { yaw: -0.2, pitch: 0.12 },
  front: { yaw: 0, pitch: 0 },
  side: { yaw: 1.05, pitch: 0.24 },
} as const satisfies Record<string, Angles>;
/** Share of the window left free around what is fitted. */
const MARGIN = 1.07;

interface Glide {
  from: Pose;
  to: Pose;
  start_ms: number;
}

export class Rig {
  readonly camera = new PerspectiveCamera(FIELD_OF_VIEW_deg, 1, 1, 10_000);
  private pose: Pose = { x: 0, y: 0, z: 0, distance: 100, ...ANGLES.home };
  private glide: Glide | null = null;
  private reach = 100;
  private homes: Pose[] = [];

  get isGliding(): boolean {
    return this.glide !== null;
  }

  get current(): Pose {
    return { ...this.pose };
  }

  /** Where the camera stands, or will when its glide ends. */
  get goal(): Pose {
    return { ...(this.glide?.to ?? this.pose) };
  }

  /** World units in one pixel at the point looked at, for a view of this height. */
  unitsPerPixel(height_px: number): number {
    return (2 * this.pose.distance * Math.tan((FIELD_OF_VIEW_deg * Math.PI) / 360)) / height_px;
  }

  /** The size of the world, which bounds how far one can go away. */
  setReach(bounds: Rect): void {
    this.reach = Math.max(bounds.right - bounds.left, bounds.top - bounds.bottom, 10);
  }

  /** Where each view is at home; the first is the base that the one pose is told in. */
  setHomes(homes: readonly Pose[]): void {
    this.homes = [...homes];
  }

  /**
   * A pose that shows all of these points in a view of this aspect. `inset`: shares of the view's
   * height that stay free at the top and the bottom.
   */
  fit(points: readonly Vector3[], aspect: number, inset: Inset, { yaw, pitch }: Angles): Pose {
    const { right, up, back } = axes(yaw, pitch);
    const tanY = Math.tan((FIELD_OF_VIEW_deg * Math.PI) / 360);
    const tanX = tanY * aspect;
    const freeY = tanY * (1 - inset.top - inset.bottom);
    const target = new Box3().setFromPoints([...points]).getCenter(new Vector3());
    let distance = 1;
    // Perspective shifts the middle: centre what is seen, then measure, a few times.
    for (let round = 0; round < 6; round += 1) {
      distance = 1;
      for (const corner of points) {
        const from = corner.clone().sub(target);
        const near = from.dot(back);
        distance = Math.max(
          distance,
          near + Math.abs(from.dot(right)) / tanX,
          near + Math.abs(from.dot(up)) / freeY,
        );
      }
      const seen = points.map((corner) => {
        const from = corner.clone().sub(target);
        const away = distance - from.dot(back);
        return [from.dot(right) / away, from.dot(up) / away] as const;
      });
      const middle = (index: 0 | 1) =>
        (Math.min(...seen.map((point) => point[index])) + Math.max(...seen.map((point) => point[index]))) / 2;
      target.addScaledVector(right, middle(0) * distance).addScaledVector(up, middle(1) * distance);
    }
    distance *= MARGIN;
    target.addScaledVector(up, (inset.top - inset.bottom) * tanY * distance);
    return { x: target.x, y: target.y, z: target.z, distance, yaw, pitch };
  }

  /**
   * A place in the world of one view, told in the world of the first. Two models of different size fill
   * their views alike, and move alike; for two of one kind both worlds are the same.
   */
  toBase(at: Vector3, view: number): Vector3 {
    const [base, home] = [this.homes[0], this.homes[view]];
    if (!base || !home) return at;
    const scale = base.distance / home.distance;
    return at.clone().sub(pointOf(home)).multiplyScalar(scale).add(pointOf(base));
  }

  /** A pose fitted in one view's world, told in the world of the first. */
  poseToBase(pose: Pose, view: number): Pose {
    const [base, home] = [this.homes[0], this.homes[view]];
    if (!base || !home) return pose;
    const { x, y, z } = this.toBase(pointOf(pose), view);
    return { ...pose, x, y, z, distance: (pose.distance * base.distance) / home.distance };
  }

  jump(pose: Pose): void {
    this.glide = null;
    this.pose = this.bounded(pose);
  }

  /** Glides there in 0.7 s; `advance` moves it on. */
  glideTo(pose: Pose, now_ms: number): void {
    this.glide = { from: this.current, to: this.bounded(pose), start_ms: now_ms };
  }

  /** Ends a glide where it is. */
  stop(): void {
    this.glide = null;
  }

  /** Moves a running glide to this moment; false if nothing moved. */
  advance(now_ms: number): boolean {
    if (!this.glide) return false;
    const { from, to, start_ms } = this.glide;
    const t = Math.min((now_ms - start_ms) / GLIDE_ms, 1);
    const eased = t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2;
    const between = (key: keyof Pose) => from[key] + (to[key] - from[key]) * eased;
    this.pose = {
      x: between('x'),
      y: between('y'),
      z: between('z'),
      distance: from.distance * (to.distance / from.distance) ** eased,
      yaw: between('yaw'),
      pitch: between('pitch'),
    };
    if (t >= 1) this.glide = null;
    return true;
  }

  orbit(dYaw: number, dPitch: number): void {
    this.jump({ ...this.pose, yaw: this.pose.yaw + dYaw, pitch: this.pose.pitch + dPitch });
  }

  /** Moves the world with the hand, by pixels of a view of this height. */
  pan(dx_px: number, dy_px: number, height_px: number): void {
    const scale = this.unitsPerPixel(height_px);
    const { right, up } = axes(this.pose.yaw, this.pose.pitch);
    const target = new Vector3(this.pose.x, this.pose.y, this.pose.z)
      .addScaledVector(right, -dx_px * scale)
      .addScaledVector(up, dy_px * scale);
    this.jump({ ...this.pose, x: target.x, y: target.y, z: target.z });
  }

  /** Zooms by a factor about a point of the world, which keeps its place on screen. */
  zoom(factor: number, about: Vector3 | null): void {
    const distance = this.limit(this.pose.distance * factor);
    const k = distance / this.pose.distance;
    const to = (value: number, centre: number) => centre + (value - centre) * k;
    const { x, y, z } = this.pose;
    this.jump({
      ...this.pose,
      x: about ? to(x, about.x) : x,
      y: about ? to(y, about.y) : y,
      z: about ? to(z, about.z) : z,
      distance,
    });
  }

  /** Sets the camera for one of the views, each of this aspect. */
  apply(aspect: number, view: number): void {
    const { yaw, pitch } = this.pose;
    const [base, home] = [this.homes[0], this.homes[view]];
    const scale = base && home ? home.distance / base.distance : 1;
    const distance = this.pose.distance * scale;
    const target = pointOf(this.pose);
    if (base && home) target.sub(pointOf(base)).multiplyScalar(scale).add(pointOf(home));
    const { x, y, z } = target;
    const { back } = axes(yaw, pitch);
    this.camera.aspect = aspect;
    this.camera.near = Math.max(distance / 50, 0.1);
    this.camera.far = distance + this.reach * scale * 6;
    this.camera.position.set(x, y, z).addScaledVector(back, distance);
    this.camera.lookAt(x, y, z);
    this.camera.updateProjectionMatrix();
    this.camera.updateMatrixWorld(true);
  }

  private bounded(pose: Pose): Pose {
    return {
      ...pose,
      distance: this.limit(pose.distance),
      pitch: Math.min(Math.max(pose.pitch, -MOST_PITCH), MOST_PITCH),
      yaw: Math.min(Math.max(pose.yaw, -MOST_PITCH), MOST_PITCH),
    };
  }

  private limit(distance: number): number {
    return Math.min(Math.max(distance, 2), this.reach * 8);
  }
}

/** Corners of a rectangle on the front plane, or of a cube around it. */
export function cornersOf(rect: Rect, depth = 0): Vector3[] {
  const corners: Vector3[] = [];
  for (const x of [rect.left, rect.right]) {
    for (const y of [rect.bottom, rect.top]) {
      for (const z of depth > 0 ? [-depth / 2, depth / 2] : [0]) corners.push(new Vector3(x, y, z));
    }
  }
  return corners;
}

function pointOf({ x, y, z }: Pose): Vector3 {
  return new Vector3(x, y, z);
}

function axes(yaw: number, pitch: number): { right: Vector3; up: Vector3; back: Vector3 } {
  const back = new Vector3(Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch));
  const right = new Vector3(Math.cos(yaw), 0, -Math.sin(yaw));
  const up = back.clone().cross(right);
  return { right, up, back };
}
