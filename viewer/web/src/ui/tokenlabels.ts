/** Names of the hovered token and of those near it, beside their points. */

import { placeLabels, type ScreenRect } from '../layout/labels';
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
  /** What is seen now, CSS pixels of the scene. */
  shown: (ScreenRect & { text: string })[] = [];

  /** The first is the hovered one, which is always shown; the others give way to it and to what is blocked. */
  show(labels: readonly TokenLabel[], blocked: readonly ScreenRect[]): void {
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
    const [main, ...others] = boxes;
    const places = main ? [main, ...placeLabels(others, { gap_px: 1, blocked: [...blocked, main] })] : [];
    const byId = new Map(places.map((place) => [place.id, place]));
    this.shown = boxes.filter(({ id }) => byId.has(id)).map((box) => ({ ...box, text: labels[box.id]!.text }));
    boxes.forEach(({ id, left, top }) => {
      pills[id]!.hidden = !byId.has(id);
      pills[id]!.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
    });
  }

  hide(): void {
    if (this.element.childElementCount === 0) return;
    this.element.replaceChildren();
    this.shown = [];
  }
}
