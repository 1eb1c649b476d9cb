/** Names of the hovered token and of those near it, beside their points. */

import { placeLabels } from '../layout/labels';
import { h } from './dom';

export interface TokenLabel {
  text: string;
  /** CSS pixels from the scene's top left */
  x: number;
  y: number;
}

const HEIGHT_px = 17;
const OFFSET_px = 7;

export class TokenLabels {
  readonly element = h('div', { class: 'token-labels', 'aria-hidden': 'true' });

  /** The first is the hovered one; the others give way where they would overlap. */
  show(labels: readonly TokenLabel[]): void {
    const pills = labels.map(({ text }, index) => h('span', { class: index === 0 ? 'token main' : 'token' }, text));
    this.element.replaceChildren(...pills);
    const boxes = labels.map(({ x, y }, id) => ({
      id,
      left: x + OFFSET_px,
      top: y - HEIGHT_px / 2,
      width: pills[id]!.offsetWidth,
      height: HEIGHT_px,
      priority: id,
    }));
    const shown = new Set(placeLabels(boxes, 1));
    boxes.forEach(({ id, left, top }) => {
      pills[id]!.hidden = !shown.has(id);
      pills[id]!.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
    });
  }

  hide(): void {
    if (this.element.childElementCount > 0) this.element.replaceChildren();
  }
}
