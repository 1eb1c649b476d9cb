/** Names that stay at their points: of chosen tokens, and near the camera of as many as fit. */

import { Vector3, type PerspectiveCamera } from 'three';
import { toCss, type Rgb } from '../layout/colour';
import { placeLabels, type LabelCandidate } from '../layout/labels';
import type { Cloud } from '../render/cloud';
import { h } from './dom';

export interface Mark {
  /** row among the recorded tokens */
  row: number;
  text: string;
  colour: Rgb;
}

const HEIGHT_px = 17;
const OFFSET_px = 9;
const MOST_NAMES = 48;
/** Names of others are shown once the cloud's cube is so high on screen. */
const NEAR_px = 420;
const REST_ms = 140;
/** About as wide as a letter of the names. */
const LETTER_px = 6.7;
const PAD_px = 12;

interface Shown {
  point: number;
  element: HTMLElement;
}

export class TokenMarks {
  readonly element = h('div', { class: 'token-labels', 'aria-hidden': 'true', 'data-test': 'token-marks' });
  private pinned: Shown[] = [];
  private names: Shown[] = [];
  private readonly at = new Vector3();
  private restTimer: ReturnType<typeof setTimeout> | null = null;
  private readonly rested: () => void;

  /** `rested` is called once the camera stands still, to choose the names anew. */
  constructor(rested: () => void) {
    this.rested = rested;
  }

  /** Rings and names of chosen tokens. */
  pin(marks: readonly Mark[], cloud: Cloud): void {
    for (const { element } of this.pinned) element.remove();
    this.pinned = marks.flatMap(({ row, text, colour }) => {
      const point = cloud.pointOf(row);
      if (point === null) return [];
      const ring = h('i', {});
      ring.style.borderColor = toCss(colour);
      const element = h('span', { class: 'token pinned', 'data-test': `mark-${row}` }, ring, text);
      element.style.setProperty('--mark', toCss(colour));
      return [{ point, element }];
    });
    this.element.append(...this.pinned.map(({ element }) => element));
  }

  /** Chooses names for the points nearest to the camera, none over another, none over a chosen one. */
  choose(
    cloud: Cloud,
    camera: PerspectiveCamera,
    size: { width: number; height: number },
    textOf: (row: number) => string | null,
  ): void {
    for (const { element } of this.names) element.remove();
    this.names = [];
    const reach = Math.abs(this.depthScale(cloud, camera, size.height));
    if (reach < NEAR_px) return;
    const candidates: LabelCandidate[] = this.pinned.map(({ point, element }, id) =>
      this.boxOf(cloud, camera, size, point, element.textContent ?? '', -1 - id, id),
    );
    const texts = new Map<number, string>();
    for (let point = 0; point < (cloud.known?.shown ?? 0); point += 1) {
      cloud.worldOf(point, this.at).project(camera);
      const { x, y, z } = this.at;
      if (Math.abs(x) > 0.96 || Math.abs(y) > 0.96 || z > 1 || this.pinned.some((one) => one.point === point)) continue;
      candidates.push({ id: point, left: 0, top: 0, width: 0, height: 0, priority: 1 + z });
    }
    candidates.sort((a, b) => a.priority - b.priority);
    // Texts are made for the nearest only: there may be ten thousand.
    const nearest = candidates.slice(0, this.pinned.length + MOST_NAMES * 4).map((candidate) => {
      if (candidate.id < 0) return candidate;
      const text = textOf(cloud.tokenOf(candidate.id)) ?? '';
      texts.set(candidate.id, text);
      return this.boxOf(cloud, camera, size, candidate.id, text, candidate.id, candidate.priority + 10);
    });
    const shown = placeLabels(nearest, 2).filter((id) => id >= 0 && texts.get(id) !== '');
    this.names = shown.slice(0, MOST_NAMES).map((point) => ({
      point,
      element: h('span', { class: 'token name' }, texts.get(point)!),
    }));
    this.element.prepend(...this.names.map(({ element }) => element));
  }

  /** After a draw: everything is where its point is. `left`: of the view in the scene. */
  follow(cloud: Cloud, camera: PerspectiveCamera, size: { width: number; height: number }, left: number): void {
    this.put(cloud, camera, size, left);
    if (this.restTimer !== null) clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => {
      this.restTimer = null;
      this.rested();
    }, REST_ms);
  }

  put(cloud: Cloud, camera: PerspectiveCamera, size: { width: number; height: number }, left: number): void {
    for (const mark of this.pinned) this.putOne(cloud, camera, size, left, mark);
    for (const mark of this.names) this.putOne(cloud, camera, size, left, mark);
  }

  clear(): void {
    this.pinned = [];
    this.names = [];
    this.element.replaceChildren();
  }

  private putOne(
    cloud: Cloud,
    camera: PerspectiveCamera,
    { width, height }: { width: number; height: number },
    left: number,
    { point, element }: Shown,
  ): void {
    cloud.worldOf(point, this.at).project(camera);
    const { x, y, z } = this.at;
    element.hidden = Math.abs(x) > 1 || Math.abs(y) > 1 || Math.abs(z) > 1;
    if (element.hidden) return;
    const px = Math.round(left + (x * 0.5 + 0.5) * width + OFFSET_px);
    const py = Math.round((0.5 - y * 0.5) * height - HEIGHT_px / 2);
    element.style.transform = `translate(${px}px, ${py}px)`;
  }

  private boxOf(
    cloud: Cloud,
    camera: PerspectiveCamera,
    { width, height }: { width: number; height: number },
    point: number,
    text: string,
    id: number,
    priority: number,
  ): LabelCandidate {
    cloud.worldOf(point, this.at).project(camera);
    return {
      id,
      left: (this.at.x * 0.5 + 0.5) * width + OFFSET_px,
      top: (0.5 - this.at.y * 0.5) * height - HEIGHT_px / 2,
      width: text.length * LETTER_px + PAD_px,
      height: HEIGHT_px,
      priority,
    };
  }

  /** How high the cube is on screen, CSS pixels. */
  private depthScale(cloud: Cloud, camera: PerspectiveCamera, height_px: number): number {
    const { x, y, size } = cloud.place;
    const distance = this.at.set(x, y, 0).distanceTo(camera.position);
    return (size / Math.max(distance, 1e-6)) * (camera.projectionMatrix.elements[5]! / 2) * height_px;
  }
}
