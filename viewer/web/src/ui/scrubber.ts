/** The track of recorded iterations with its marks; each snapshot has the same room. */

import type { State } from '../state/model';
import type { Store } from '../state/store';
import { indexAtOrBefore } from '../state/timeline';
import { fractionalIndex } from './align';
import { h } from './dom';

/** Left and right of the track; the chart above it keeps the same. */
export const TRACK_INSET_px = 14;
const HEIGHT_px = 26;

/** Events worth a mark, by the look of it; `--mark-LOOK` is its colour. */
export const MARK_LOOKS: Record<string, string> = {
  validation: 'validation',
  checkpoint: 'checkpoint',
  final: 'final',
  gap: 'bad',
  skipped_step: 'bad',
  crash: 'bad',
  resume: 'resume',
};

export class Scrubber {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly canvas = h('canvas', { 'aria-hidden': 'true' });
  private readonly thumb = h('div', { class: 'thumb' });
  /** As last measured: to ask at each move of the cursor would make the page lay itself out each time. */
  private width = 0;

  constructor(store: Store) {
    this.store = store;
    this.element = h(
      'div',
      {
        class: 'scrubber',
        role: 'slider',
        tabindex: 0,
        'aria-label': 'Recorded iteration',
        'data-test': 'scrubber',
      },
      this.canvas,
      this.thumb,
    );
    this.element.addEventListener('pointerdown', (event) => this.grab(event));
    this.element.addEventListener('pointermove', (event) => this.tell(event));
    new ResizeObserver(() => {
      this.width = this.element.clientWidth;
      this.draw();
    }).observe(this.element);
    store.subscribe((state, previous) => {
      const changed = state.timeline !== previous.timeline || state.runs !== previous.runs;
      if (changed || state.theme !== previous.theme) this.draw();
      if (changed || state.cursor !== previous.cursor) this.showCursor(state);
    });
  }

  private get trackWidth(): number {
    return Math.max(this.width - 2 * TRACK_INSET_px, 1);
  }

  private grab(event: PointerEvent): void {
    this.element.setPointerCapture(event.pointerId);
    const seek = (move: PointerEvent) => {
      const iteration = this.iterationAt(move);
      if (iteration !== undefined) this.store.dispatch({ type: 'seek', iteration });
    };
    seek(event);
    this.element.addEventListener('pointermove', seek);
    this.element.addEventListener('lostpointercapture', () => this.element.removeEventListener('pointermove', seek), {
      once: true,
    });
  }

  private iterationAt(event: PointerEvent): number | undefined {
    const { timeline } = this.store.state;
    const share = (event.clientX - this.element.getBoundingClientRect().left - TRACK_INSET_px) / this.trackWidth;
    const index = Math.round(Math.min(Math.max(share, 0), 1) * (timeline.length - 1));
    return timeline[index];
  }

  /** The hovered iteration and what happened there. */
  private tell(event: PointerEvent): void {
    const iteration = this.iterationAt(event);
    if (iteration === undefined) return;
    const happened = this.store.state.selected
      .flatMap((id) => this.store.state.runs[id]?.events ?? [])
      .filter((one) => one.iteration === iteration)
      .map((one) => [one.kind.replace('_', ' '), one.text].filter(Boolean).join(': '));
    this.element.title = [`iteration ${iteration}`, ...happened].join('\n');
  }

  private place(state: State, iteration: number): number {
    const last = Math.max(state.timeline.length - 1, 1);
    return TRACK_INSET_px + (fractionalIndex(state.timeline, iteration) / last) * this.trackWidth;
  }

  private showCursor(state: State): void {
    if (state.cursor === null) return;
    this.thumb.style.transform = `translateX(${this.place(state, state.cursor)}px)`;
    const index = indexAtOrBefore(state.timeline, state.cursor);
    const slider = this.element;
    slider.setAttribute('aria-valuemin', '0');
    slider.setAttribute('aria-valuemax', String(Math.max(state.timeline.length - 1, 0)));
    slider.setAttribute('aria-valuenow', String(index));
    slider.setAttribute('aria-valuetext', `iteration ${state.cursor}`);
  }

  private draw(): void {
    const { width } = this;
    if (width === 0) return;
    const { state } = this.store;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = HEIGHT_px * ratio;
    const context = this.canvas.getContext('2d')!;
    context.scale(ratio, ratio);
    const style = getComputedStyle(this.element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    context.fillStyle = colour('--track');
    context.beginPath();
    context.roundRect(TRACK_INSET_px - 3, HEIGHT_px / 2 - 3, this.trackWidth + 6, 6, 3);
    context.fill();
    const count = state.timeline.length;
    if (count > 1 && this.trackWidth / (count - 1) >= 4) {
      context.fillStyle = colour('--tick');
      for (const iteration of state.timeline) {
        context.fillRect(Math.round(this.place(state, iteration)) - 0.5, HEIGHT_px / 2 - 3, 1, 6);
      }
    }
    for (const id of state.selected) this.drawMarks(context, state, id, colour);
    this.showCursor(state);
  }

  private drawMarks(
    context: CanvasRenderingContext2D,
    state: State,
    run: string,
    colour: (name: string) => string,
  ): void {
    for (const event of state.runs[run]?.events ?? []) {
      const look = MARK_LOOKS[event.kind];
      if (!look) continue;
      const x = this.place(state, event.iteration);
      context.fillStyle = colour(`--mark-${look}`);
      context.beginPath();
      if (event.kind === 'validation') context.arc(x, HEIGHT_px / 2, 2.2, 0, 2 * Math.PI);
      else context.roundRect(x - 1.25, HEIGHT_px / 2 - 8, 2.5, 16, 1);
      context.fill();
    }
  }
}
