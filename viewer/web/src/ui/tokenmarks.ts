/** Names that stay at their points: of chosen tokens, and near the camera of as many as fit. */

import { Vector3, type PerspectiveCamera } from 'three';
import { toCss, type Rgb } from '../layout/colour';
import { meets, placeLabels, type LabelCandidate, type ScreenRect } from '../layout/labels';
import { PIN_HEIGHT_px, placePins, type PinPlace } from '../layout/pins';
import type { Cloud } from '../render/cloud';
import { h } from './dom';

export interface Mark {
  /** row among the recorded tokens */
  row: number;
  text: string;
  colour: Rgb;
}

/** A view as its names need it; CSS pixels. */
export interface MarkedView {
  cloud: Cloud;
  camera: PerspectiveCamera;
  width: number;
  height: number;
  /** of the view in the scene */
  left: number;
  /** Where no name may stand, from the view's top left. */
  blocked: readonly ScreenRect[];
}

export interface ShownName extends ScreenRect {
  text: string;
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

interface Shown extends ShownName {
  point: number;
  element: HTMLElement;
}

/** A chosen token: a ring at its point, its name, and a line from one to the other where they stand apart. */
interface Pinned extends Shown {
  name: HTMLElement;
  leader: HTMLElement;
  slot: number | null;
}

export class TokenMarks {
  readonly element = h('div', { class: 'token-labels', 'aria-hidden': 'true', 'data-test': 'token-marks' });
  private pinned: Pinned[] = [];
  private names: Shown[] = [];
  /** A name for the moment, to which all others give way, and its point. */
  private passing: { point: number; rects: readonly ScreenRect[] } = { point: -1, rects: [] };
  private readonly at = new Vector3();
  private restTimer: ReturnType<typeof setTimeout> | null = null;
  private readonly rested: () => void;

  /** `rested` is called once the camera stands still, to choose the names anew. */
  constructor(rested: () => void) {
    this.rested = rested;
  }

  /** The names of chosen tokens, CSS pixels of the scene. */
  get chosen(): ScreenRect[] {
    return this.pinned.filter(({ element, name }) => !element.hidden && !name.hidden);
  }

  /** What is seen now, CSS pixels of the scene. */
  get shown(): ShownName[] {
    const seen = [...this.pinned.filter(({ name }) => !name.hidden), ...this.names].filter(({ element }) => !element.hidden);
    return seen.map(({ text, left, top, width, height }) => ({ text, left, top, width, height }));
  }

  /** Rings and names of chosen tokens. */
  pin(marks: readonly Mark[], cloud: Cloud): void {
    for (const { element } of this.pinned) element.remove();
    this.pinned = marks.flatMap(({ row, text, colour }) => {
      const point = cloud.pointOf(row);
      if (point === null) return [];
      const name = h('span', { class: 'token pinned', 'data-test': `mark-${row}` }, text);
      const leader = h('b', { hidden: true });
      const element = h('div', { class: 'token-mark' }, h('i', {}), leader, name);
      element.style.setProperty('--mark', toCss(colour));
      return [{ point, element, name, leader, slot: null, text, left: 0, top: 0, width: 0, height: PIN_HEIGHT_px }];
    });
    this.element.append(...this.pinned.map(({ element }) => element));
    for (const pin of this.pinned) pin.width = pin.name.offsetWidth || pin.text.length * LETTER_px + PAD_px;
  }

  /** Chooses names for the points nearest to the camera, none over another, none over a chosen one. */
  choose(view: MarkedView, textOf: (row: number) => string | null): void {
    for (const { element } of this.names) element.remove();
    this.names = [];
    for (const pin of this.pinned) pin.slot = null;
    this.put(view);
    const { cloud, camera } = view;
    if (Math.abs(this.depthScale(cloud, camera, view.height)) < NEAR_px) return;
    const near: { point: number; depth: number }[] = [];
    for (let point = 0; point < (cloud.known?.shown ?? 0); point += 1) {
      const { x, y, z } = cloud.worldOf(point, this.at).project(camera);
      if (Math.abs(x) > 0.96 || Math.abs(y) > 0.96 || z > 1 || this.pinned.some((one) => one.point === point)) continue;
      near.push({ point, depth: z });
    }
    near.sort((a, b) => a.depth - b.depth);
    // Texts are made for the nearest only: there may be ten thousand.
    const texts = new Map<number, string>();
    const candidates = near.slice(0, MOST_NAMES * 4).flatMap(({ point, depth }): LabelCandidate[] => {
      const text = textOf(cloud.tokenOf(point)) ?? '';
      if (text === '') return [];
      texts.set(point, text);
      const { x, y } = this.onScreen(view, point);
      const width = text.length * LETTER_px + PAD_px;
      const [left, top] = [x + OFFSET_px, y - HEIGHT_px / 2];
      if (left + width > view.width) return [];
      return [{ id: point, left, top, width, height: HEIGHT_px, priority: depth }];
    });
    const pins = this.pinned.filter(({ name }) => !name.hidden).map((pin) => ({ ...pin, left: pin.left - view.left }));
    const passing = this.passing.rects.map((rect) => ({ ...rect, left: rect.left - view.left }));
    const blocked = [...view.blocked, ...pins, ...passing];
    this.names = placeLabels(candidates, { gap_px: 2, blocked })
      .slice(0, MOST_NAMES)
      .map(({ id, left, top }) => {
        const text = texts.get(id)!;
        const element = h('span', { class: 'token name' }, text);
        return { point: id, element, text, left, top, width: text.length * LETTER_px + PAD_px, height: HEIGHT_px };
      });
    this.element.prepend(...this.names.map(({ element }) => element));
    this.put(view);
  }

  /** After a draw: everything is where its point is. */
  follow(view: MarkedView): void {
    this.put(view);
    if (this.restTimer !== null) clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => {
      this.restTimer = null;
      this.rested();
    }, REST_ms);
  }

  /** A name at the pointer, to which these give way; point -1 where there is none. */
  giveWay(point: number, rects: readonly ScreenRect[], view: MarkedView | null): void {
    if (point === this.passing.point && rects.length === this.passing.rects.length) return;
    this.passing = { point, rects };
    if (view) this.put(view);
  }

  put(view: MarkedView): void {
    if (this.pinned.length > 0) this.putPins(view);
    for (const name of this.names) {
      const { x, y, isSeen } = this.onScreen(view, name.point);
      [name.left, name.top] = [Math.round(view.left + x + OFFSET_px), Math.round(y - HEIGHT_px / 2)];
      name.element.hidden = !isSeen || name.point === this.passing.point || this.passing.rects.some((rect) => meets(rect, name));
      if (!name.element.hidden) name.element.style.transform = `translate(${name.left}px, ${name.top}px)`;
    }
  }

  clear(): void {
    this.pinned = [];
    this.names = [];
    this.element.replaceChildren();
  }

  private putPins(view: MarkedView): void {
    const at = this.pinned.map(({ point }) => this.onScreen(view, point));
    const seen = this.pinned.flatMap((pin, number) => {
      pin.element.hidden = !at[number]!.isSeen;
      return at[number]!.isSeen ? [number] : [];
    });
    // The name at the pointer stands for the chosen one that it is of.
    const named = seen.filter((number) => this.pinned[number]!.point !== this.passing.point);
    const passing = this.passing.rects.map((rect) => ({ ...rect, left: rect.left - view.left }));
    const places = placePins(
      named.map((number) => ({ x: at[number]!.x, y: at[number]!.y, width: this.pinned[number]!.width })),
      [...view.blocked, ...passing],
      named.map((number) => this.pinned[number]!.slot),
    );
    for (const number of seen) {
      const { x, y } = at[number]!;
      this.putPin(this.pinned[number]!, Math.round(view.left + x), Math.round(y), view.left, places[named.indexOf(number)] ?? null);
    }
  }

  private putPin(pin: Pinned, x: number, y: number, viewLeft: number, place: PinPlace | null): void {
    pin.slot = place?.slot ?? null;
    pin.element.style.transform = `translate(${x}px, ${y}px)`;
    pin.name.hidden = place === null;
    pin.leader.hidden = !place?.isLed;
    if (!place) return;
    [pin.left, pin.top] = [Math.round(viewLeft + place.left), Math.round(place.top)];
    const [dx, dy] = [pin.left - x, pin.top - y];
    pin.name.style.transform = `translate(${dx}px, ${dy}px)`;
    if (!place.isLed) return;
    const [toX, toY] = [dx >= 0 ? dx : dx + pin.width, dy + pin.height / 2];
    pin.leader.style.width = `${Math.hypot(toX, toY)}px`;
    pin.leader.style.transform = `rotate(${Math.atan2(toY, toX)}rad)`;
  }

  /** A point in its view, CSS pixels from the view's top left. */
  private onScreen({ cloud, camera, width, height }: MarkedView, point: number): { x: number; y: number; isSeen: boolean } {
    const { x, y, z } = cloud.worldOf(point, this.at).project(camera);
    const isSeen = Math.abs(x) <= 1 && Math.abs(y) <= 1 && Math.abs(z) <= 1;
    return { x: (x * 0.5 + 0.5) * width, y: (0.5 - y * 0.5) * height, isSeen };
  }

  /** How high the cube is on screen, CSS pixels. */
  private depthScale(cloud: Cloud, camera: PerspectiveCamera, height_px: number): number {
    const { x, y, size } = cloud.place;
    const distance = this.at.set(x, y, 0).distanceTo(camera.position);
    return (size / Math.max(distance, 1e-6)) * (camera.projectionMatrix.elements[5]! / 2) * height_px;
  }
}
