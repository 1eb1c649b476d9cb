/** Two short lines and the key of colours under the cube of the embedding cloud, wherever it is on screen. */

import { Vector3, type PerspectiveCamera } from 'three';
import type { CloudFrame } from '../layout/boxes';
import { keyOf, tokensText, type CloudLegendFacts } from './cloudlegend';
import { h } from './dom';
import { percent } from './format';

const GAP_px = 22;
/** Left free for the line of the legend. */
const FOOT_px = 70;
/** A cube that is narrower on screen goes without. */
const LEAST_WIDTH_px = 150;

export class CloudCaption {
  readonly element = h('div', { class: 'cloud-caption', 'data-test': 'cloud-caption', hidden: true });
  private height_px = 0;
  private isKnown = false;
  private text = '';
  private readonly at = new Vector3();

  hide(): void {
    this.isKnown = false;
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
    this.height_px = 0;
  }

  /** After a draw: stays under the cube, and inside the view while any of the cube is. */
  follow({ x, y, size }: CloudFrame, camera: PerspectiveCamera, view: { width: number; height: number }): void {
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
    const lowest = view.height - FOOT_px;
    const isSeen = seen.right > 60 && seen.left < view.width - 60 && seen.bottom > 60 && seen.top < lowest;
    this.element.hidden = !this.isKnown || !isSeen || seen.right - seen.left < LEAST_WIDTH_px;
    if (this.element.hidden) return;
    this.height_px ||= this.element.offsetHeight;
    const middle = (Math.max(seen.left, 0) + Math.min(seen.right, view.width)) / 2;
    const px = Math.round(Math.min(Math.max(middle, 120), view.width - 120));
    const py = Math.round(Math.min(seen.bottom + GAP_px, lowest - this.height_px));
    this.element.style.transform = `translate(${px}px, ${py}px) translateX(-50%)`;
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
