/** Where the camera goes: by hand, by key, to a part of the model, to a view that was kept. */

import type { Vector3 } from 'three';
import { union, type Rect, type Region } from '../layout/boxes';
import { placeOf, poseAt, regionNear, type Place } from '../layout/place';
import { onFront, rayThrough } from '../render/pick';
import { ANGLES, cornersOf, type Angles } from '../render/rig';
import type { Stage } from '../render/stage';
import type { View } from '../render/view';
import type { Views } from './views';

const ORBIT_PER_PIXEL = 0.0045;
/** What one press of a key does, as if a hand had moved by so much. */
const KEY_TURN_px = 28;
const KEY_MOVE_px = 60;
const KEY_ZOOM = 1.18;

export const CLOUD_TITLE = 'embedding cloud';

/** Views that every model has, in the order of their keys. */
export const PRESETS = ['whole model', 'front', 'from the side', 'embedding cloud', 'first layer', 'last layer'] as const;
export type Preset = (typeof PRESETS)[number];

export class Pilot {
  /** Called when the camera was sent or moved somewhere. */
  onMoved: () => void = () => undefined;
  private readonly stage: Stage;
  private readonly views: Views;
  /** The person has moved the camera, so a new size of the window leaves it alone. */
  private touched = false;
  /** The part that was flown to, until the camera is moved by hand. */
  private part: { view: View; index: number } | null = null;

  constructor(stage: Stage, views: Views) {
    this.stage = stage;
    this.views = views;
  }

  /** Everything is in sight, and nobody has asked for anything else. */
  get isHome(): boolean {
    return !this.touched;
  }

  /** A hand on the scene stops a glide. */
  press(): void {
    if (!this.stage.rig.isGliding) return;
    this.stage.rig.stop();
    this.onMoved();
  }

  orbit(dx_px: number, dy_px: number): void {
    this.stage.rig.orbit(-dx_px * ORBIT_PER_PIXEL, dy_px * ORBIT_PER_PIXEL);
    this.moved();
  }

  pan(dx_px: number, dy_px: number): void {
    this.stage.rig.pan(dx_px, dy_px, this.stage.viewSize.height);
    this.moved();
  }

  /** Zooms about what is under a point of the canvas; factor < 1 comes nearer. */
  zoom(factor: number, x: number, y: number): void {
    const at = this.worldAt(x, y);
    this.stage.rig.zoom(factor, at && this.stage.rig.toBase(at.world, at.index));
    this.moved();
  }

  /** One press of a key: to the right and down are positive. */
  turnByKey(right: number, down: number): void {
    this.orbit(-right * KEY_TURN_px, -down * KEY_TURN_px);
  }

  moveByKey(right: number, down: number): void {
    this.pan(-right * KEY_MOVE_px, -down * KEY_MOVE_px);
  }

  zoomByKey(nearer: boolean): void {
    this.stage.rig.zoom(nearer ? 1 / KEY_ZOOM : KEY_ZOOM, null);
    this.moved();
  }

  home(jump = prefersStillness()): void {
    this.touched = false;
    this.part = null;
    this.stage.home(jump);
    this.onMoved();
  }

  /** After a change of the window: what shows everything goes on showing everything. */
  resized(): void {
    if (!this.touched) this.home(true);
  }

  /** Whether the model has such a thing. */
  hasPreset(preset: Preset): boolean {
    const isOfEveryModel = preset === 'whole model' || preset === 'front' || preset === 'from the side';
    return this.views.ordered.length > 0 && (isOfEveryModel || this.regionOf(preset) !== undefined);
  }

  goToPreset(preset: Preset): void {
    const view = this.views.ordered[0];
    if (!view) return;
    const region = this.regionOf(preset);
    if (preset === 'whole model') this.home();
    else if (preset === 'front') this.fly(view, view.extremes, ANGLES.front);
    else if (preset === 'from the side') this.fly(view, view.extremes, ANGLES.side);
    else if (region) this.flyToRegion(view, region);
  }

  flyToTensors(run: string, tensors: readonly number[]): void {
    const view = this.views.of(run);
    const rects = tensors.map((tensor) => view?.rectOf(tensor)).filter((rect) => rect !== null && rect !== undefined);
    if (view && rects.length > 0) this.flyToRect(view, union(rects));
  }

  flyToRegion(view: View, region: Region): void {
    const { rect } = region;
    this.flyToRect(view, rect, region.title === CLOUD_TITLE ? rect.right - rect.left : 0);
    this.part = { view, index: view.layout.regions.indexOf(region) };
  }

  /** The part around a point of the canvas, else everything. */
  flyToPoint(view: View, x: number, y: number): void {
    const at = this.worldAt(x, y)?.world;
    const region =
      at &&
      view.layout.regions.find(
        ({ rect }) => at.x >= rect.left && at.x <= rect.right && at.y >= rect.bottom && at.y <= rect.top,
      );
    if (region) this.flyToRegion(view, region);
    else this.home();
  }

  /** The next part of the model, or the one before; from home the first or the last. Its title, if there is one. */
  stepPart(by: 1 | -1): string | null {
    const view = this.views.ordered[0];
    const regions = view?.layout.regions ?? [];
    if (!view || regions.length === 0) return null;
    const last = regions.length - 1;
    let index = by > 0 ? 0 : last;
    if (this.touched) {
      const from = this.part?.view === view ? this.part.index : regionNear(view.layout, this.stage.rig.goal);
      index = Math.min(Math.max(from + by, 0), last);
    }
    this.flyToRegion(view, regions[index]!);
    return regions[index]!.title;
  }

  /** The name of the part that is looked at. */
  get title(): string {
    const view = this.views.ordered[0];
    const index = view && this.touched ? regionNear(view.layout, this.stage.rig.goal) : -1;
    return view?.layout.regions[index]?.title ?? PRESETS[0];
  }

  /** Where the camera stands, or will when its glide ends; null at home. */
  get place(): Place | null {
    const view = this.views.ordered[0];
    return view && this.touched ? placeOf(view.layout, this.stage.rig.goal) : null;
  }

  /** False where the model does not have what the place is told by. */
  goToPlace(place: Place, jump = prefersStillness()): boolean {
    const view = this.views.ordered[0];
    const pose = view && poseAt(view.layout, place);
    if (!pose) return false;
    this.leave();
    this.stage.goTo(pose, jump);
    this.onMoved();
    return true;
  }

  /** Points of a view's world. */
  flyToPoints(view: View, points: readonly Vector3[]): void {
    this.fly(view, points, ANGLES.fly);
  }

  private regionOf(preset: Preset): Region | undefined {
    const regions = this.views.ordered[0]?.layout.regions ?? [];
    const layers = regions.filter(({ layer }) => layer !== null);
    if (preset === 'embedding cloud') return regions.find(({ title }) => title === CLOUD_TITLE);
    if (preset === 'first layer') return layers[0];
    return preset === 'last layer' ? layers.at(-1) : undefined;
  }

  private flyToRect(view: View, rect: Rect, depth = 0): void {
    this.flyToPoints(view, cornersOf(rect, depth));
  }

  private fly(view: View, points: readonly Vector3[], angles: Angles): void {
    this.leave();
    this.stage.fly(points, view, prefersStillness(), angles);
    this.onMoved();
  }

  private moved(): void {
    this.leave();
    this.stage.moved();
    this.onMoved();
  }

  private leave(): void {
    this.touched = true;
    this.part = null;
  }

  /** The point of the plates' front plane under a point of the canvas, and in which view it is. */
  private worldAt(x: number, y: number): { world: Vector3; index: number } | null {
    const { stage } = this;
    const { width, height } = stage.viewSize;
    const index = Math.min(Math.floor(x / width), stage.viewCount - 1);
    const view = this.views.ordered[index];
    if (!view) return null;
    const world = onFront(rayThrough(stage.look(view), ((x - index * width) / width) * 2 - 1, 1 - (y / height) * 2));
    return world && { world, index };
  }
}

/** The system asks for no motion: the camera is there at once. */
export function prefersStillness(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}
