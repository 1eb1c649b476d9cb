/** Two short lines and the key of colours under the cube of the embedding cloud, wherever it is on screen. */

import { Vector3, type PerspectiveCamera } from 'three';
import type { CloudFrame } from '../layout/boxes';
import type { ScreenRect } from '../layout/labels';
import { keyOf, tokensText, type CloudLegendFacts } from './cloudlegend';
import { h } from './dom';
import { percent } from './format';

const GAP_px = 22;
/** Left free for the line of the legend. */
const FOOT_px = 70;
const RIM_px = 8;
/** How far under the view the cube may end. */
const MOST_BELOW_px = 40;
/** A cube that is narrower on screen goes without. */
const LEAST_WIDTH_px = 150;

export class CloudCaption {
  readonly element = h('div', { class: 'cloud-caption', 'data-test': 'cloud-caption', hidden: true });
  private width_px = 0;
  private height_px = 0;
  private isKnown = false;
  private text = '';
  private readonly at = new Vector3();

  hide(): void {
    this.isKnown = false;
    this.rect = null;
    this.element.hidden = true;
  }

  show(facts: CloudLegendFacts): void {
    const lines = [
      h('div', { class: 'legend-title' }, tokensText(facts)),
      ...trustLine(facts),
      ...keyOf(facts.key).map((line) => {
        line.removeAttribute('data-test');
        return line;
      }),
    ];
    const text = lines.map(({ textContent }) => textContent).join('\n');
    this.isKnown = true;
    if (text === this.text) return;
    this.text = text;
    this.element.replaceChildren(...lines);
    this.width_px = 0;
  }

  /** Where it is seen, CSS pixels from the view's top left. */
  rect: ScreenRect | null = null;

  /**
   * After a draw: stays at the foot of the cube, inside the view. Where it would lie on a name or a plate, and
   * where most of the cube is out of sight, there is none.
   */
  follow(
    { x, y, size }: CloudFrame,
    camera: PerspectiveCamera,
    view: { width: number; height: number },
    isFree: (rect: ScreenRect) => boolean,
  ): void {
    this.rect = this.placesAt({ x, y, size }, camera, view).find(isFree) ?? null;
    this.element.hidden = this.rect === null;
    if (!this.rect) return;
    this.element.style.transform = `translate(${this.rect.left}px, ${this.rect.top}px)`;
  }

  /** Under the cube or, at its foot, beside it. */
  private placesAt({ x, y, size }: CloudFrame, camera: PerspectiveCamera, view: { width: number; height: number }): ScreenRect[] {
    if (!this.isKnown) return [];
    const middle = this.at.set(x, y, 0).project(camera);
    if (Math.abs(middle.x) > 1 || Math.abs(middle.y) > 1 || middle.z > 1) return [];
    const [left, right, bottom, top] = [Infinity, -Infinity, -Infinity, Infinity];
    const seen = { left, right, bottom, top };
    for (const dx of [-0.5, 0.5]) {
      for (const dy of [-0.5, 0.5]) {
        for (const dz of [-0.5, 0.5]) {
          this.at.set(x + dx * size, y + dy * size, dz * size).project(camera);
          const [px, py] = [(this.at.x * 0.5 + 0.5) * view.width, (0.5 - this.at.y * 0.5) * view.height];
          seen.left = Math.min(seen.left, px);
          seen.right = Math.max(seen.right, px);
          seen.top = Math.min(seen.top, py);
          seen.bottom = Math.max(seen.bottom, py);
        }
      }
    }
    if (seen.right - seen.left < LEAST_WIDTH_px) return [];
    if (this.width_px === 0) {
      this.element.hidden = false;
      [this.width_px, this.height_px] = [this.element.offsetWidth, this.element.offsetHeight];
    }
    const { width_px: width, height_px: height } = this;
    const centre = (Math.max(seen.left, 0) + Math.min(seen.right, view.width)) / 2 - width / 2;
    const lowest = view.height - FOOT_px - height;
    // One that is all around has no edge to stand at.
    if (seen.bottom > view.height + MOST_BELOW_px) return [];
    const foot = Math.min(seen.bottom + GAP_px, lowest);
    const within = (px: number) => Math.min(Math.max(px, RIM_px), view.width - width - RIM_px);
    return [
      [within(centre), foot],
      [seen.right + GAP_px, Math.min(seen.bottom - height, lowest)],
      [seen.left - GAP_px - width, Math.min(seen.bottom - height, lowest)],
      [within(centre), foot - height / 2],
    ]
      .map(([left, top]) => ({ left: Math.round(left!), top: Math.round(top!), width, height }))
      .filter(({ left }) => left >= RIM_px && left + width <= view.width - RIM_px);
  }
}

/** How much the picture keeps, in a few words. */
function trustLine({ embedding, trust, projection }: CloudLegendFacts): HTMLElement[] {
  if (projection !== null) return [h('div', {}, projection)];
  const known = trust?.basis === embedding.basis ? trust : null;
  if (known && known.axes_above_noise === 0 && !Number.isNaN(known.largest)) {
    return [h('div', { class: 'warning' }, 'no structure above noise')];
  }
  const shown = embedding.explained.slice(0, 3).reduce((sum, share) => sum + share, 0);
  const variance = known && !Number.isNaN(known.explained) ? known.explained : shown;
  const parts = [`${percent(variance)} of variance`];
  if (known && !Number.isNaN(known.neighbours_kept)) parts.push(`${percent(known.neighbours_kept)} of neighbours`);
  return [h('div', { 'data-test': 'caption-trust' }, parts.join(' · '))];
}
