/** A tensor's histogram over time: iterations to the right, signed values upward by powers of two, the share as colour. */

import type { Histograms } from '../data/histograms';
import { mix, type Rgb } from '../layout/colour';
import { edgeText, heatPixels, heatRows, occupiedBins, rowText, sharesAt, ticksOf, type HeatRow } from '../layout/heat';
import { nearestIndex } from '../state/timeline';
import { h, setText } from './dom';
import { count, percent } from './format';

const HEIGHT_px = 128;
/** Both as the chart below has them, so that an iteration stands at one place in both. */
const LEFT_px = 62;
const RIGHT_px = 14;
const MOST_TICKS = 6;
const FONT = '11px "Inter Variable", sans-serif';

export class HistogramChart {
  readonly element: HTMLElement;
  private readonly canvas = h('canvas', { class: 'histogram-canvas', 'data-test': 'histogram', role: 'img' });
  private readonly cursor = h('div', { class: 'histogram-cursor', 'data-test': 'histogram-cursor', hidden: true });
  private readonly words = h('p', { class: 'hint', 'data-test': 'histogram-words' });
  private histograms: Histograms | null = null;
  /** Empty where no snapshot holds any. */
  private rows: HeatRow[] = [];
  private hue: Rgb = [0, 0, 0];
  private at: number | null = null;

  /** `seek` goes to an iteration that was pressed. */
  constructor(seek: (iteration: number) => void) {
    const plot = h('div', { class: 'histogram-plot' }, this.canvas, this.cursor);
    this.element = h('div', { class: 'histogram' }, plot, this.words);
    new ResizeObserver(() => this.draw()).observe(plot);
    const follow = (event: PointerEvent) => {
      const iteration = this.iterationAt(event);
      if (iteration !== null) seek(iteration);
    };
    this.canvas.addEventListener('pointerdown', (down) => {
      this.canvas.setPointerCapture(down.pointerId);
      follow(down);
    });
    this.canvas.addEventListener('pointermove', (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) follow(event);
      this.tell(event);
    });
    this.canvas.addEventListener('pointerleave', () => this.tell(null));
  }

  show(histograms: Histograms | null, hue: Rgb): void {
    this.histograms = histograms;
    const bins = histograms && occupiedBins(histograms.counts);
    this.rows = histograms && bins ? heatRows(histograms, bins) : [];
    this.hue = hue;
    this.draw();
    this.tell(null);
  }

  /** Why there is none. */
  say(text: string): void {
    this.show(null, this.hue);
    setText(this.words, text);
  }

  setCursor(iteration: number | null): void {
    this.at = iteration;
    const x = iteration === null ? null : this.xOf(iteration);
    this.cursor.hidden = x === null;
    if (x !== null) this.cursor.style.transform = `translateX(${x}px)`;
    this.tell(null);
  }

  /** After a change of the theme. */
  repaint(): void {
    this.draw();
  }

  private get plotWidth(): number {
    return Math.max(this.canvas.clientWidth - LEFT_px - RIGHT_px, 1);
  }

  private get span(): [number, number] | null {
    const iterations = this.histograms?.iterations;
    return iterations && iterations.length > 0 ? [iterations[0]!, iterations.at(-1)!] : null;
  }

  private xOf(iteration: number): number | null {
    const { span } = this;
    if (!span || !this.rows.length || iteration < span[0] || iteration > span[1]) return null;
    const share = span[1] > span[0] ? (iteration - span[0]) / (span[1] - span[0]) : 0.5;
    return LEFT_px + share * this.plotWidth;
  }

  private iterationAt(event: PointerEvent): number | null {
    const { span } = this;
    if (!span) return null;
    const share = (event.clientX - this.canvas.getBoundingClientRect().left - LEFT_px) / this.plotWidth;
    return Math.round(span[0] + Math.min(Math.max(share, 0), 1) * (span[1] - span[0]));
  }

  /** What is under the pointer, else what the cursor's column holds most of. */
  private tell(event: PointerEvent | null): void {
    setText(this.words, this.textFor(event));
  }

  private textFor(event: PointerEvent | null): string {
    const { histograms, rows } = this;
    if (!histograms) return '';
    const { damaged, iterations } = histograms;
    const lost = damaged.length > 0 ? ` Damaged, and left out: ${damaged.slice(0, 5).join(', ')}${damaged.length > 5 ? ' …' : ''}.` : '';
    if (rows.length === 0) return `No snapshot holds a histogram of this tensor.${lost}`;
    const wish = event ? this.iterationAt(event) : this.at;
    const at = wish === null ? -1 : nearestIndex(iterations, wish);
    if (at < 0) return lost.trim();
    const bins = sharesAt(histograms, at);
    const shares = rows.map(([from, to]) => bins.subarray(from, to).reduce((sum, share) => sum + share, 0));
    const pointed = event ? Math.floor((event.offsetY / HEIGHT_px) * rows.length) : shares.indexOf(Math.max(...shares));
    const row = Math.min(Math.max(pointed, 0), rows.length - 1);
    const where = rowText(rows[row]!);
    return `Iteration ${count(iterations[at]!)}: ${percent(shares[row]!)} of all elements are ${where}.${event ? '' : lost}`;
  }

  private draw(): void {
    const { canvas, histograms, rows } = this;
    canvas.hidden = rows.length === 0;
    const width = canvas.clientWidth;
    if (!histograms || rows.length === 0 || width === 0) {
      this.setCursor(this.at);
      return;
    }
    const ratio = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT_px * ratio);
    const context = canvas.getContext('2d');
    if (!context) return;
    const style = getComputedStyle(canvas);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    const columns = Math.max(Math.round(this.plotWidth * ratio), 1);
    const ground = rgbOf(colour('--raised'));
    const ink = rgbOf(colour('--text'));
    const pixels = heatPixels(histograms, rows, columns, (strength) =>
      strength < 0.6 ? mix(ground, this.hue, strength / 0.6) : mix(this.hue, ink, ((strength - 0.6) / 0.4) * 0.8),
    );
    const picture = document.createElement('canvas');
    picture.width = columns;
    picture.height = rows.length;
    picture.getContext('2d')!.putImageData(new ImageData(pixels, columns, rows.length), 0, 0);
    context.drawImage(picture, LEFT_px, 0, this.plotWidth, HEIGHT_px);
    context.font = FONT;
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (const tick of ticksOf(rows, MOST_TICKS)) {
      const y = (tick.y / rows.length) * HEIGHT_px;
      context.fillStyle = colour('--dim');
      context.fillText(tick.text, LEFT_px - 8, Math.min(Math.max(y, 6), HEIGHT_px - 6));
      context.fillStyle = colour('--line');
      context.fillRect(LEFT_px - 4, Math.round(y) - 0.5, 4, 1);
    }
    canvas.setAttribute(
      'aria-label',
      `Histogram over ${count(histograms.iterations.length)} snapshots, values from ${edgeText(rows.at(-1)![0])} to ${edgeText(rows[0]![1])}`,
    );
    this.setCursor(this.at);
  }
}

/** A colour of the stylesheet, which writes them as #rrggbb. */
function rgbOf(hex: string): Rgb {
  const value = Number.parseInt(hex.replace('#', ''), 16) || 0;
  return [((value >> 16) & 255) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}
