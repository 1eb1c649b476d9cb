/** A line chart that shares the page's cursor: uPlot with the page's colours and manners. */

import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { align, type Curve } from './align';
import { h } from './dom';

export interface ChartLine extends Curve {
  label: string;
  colour: string;
  dashed?: boolean;
  /** Few values: each gets a dot. */
  dots?: boolean;
}

export interface ChartOptions {
  height: number;
  /** Moves the cursor to this x. */
  onSeek: (x: number) => void;
  /** The x of the data point under the pointer, also in a chart that shares its hover line; null when it leaves. */
  onHover?: (x: number | null) => void;
  logarithmic?: boolean;
  /** No axes: a chart that lies over a scrubber. */
  bare?: boolean;
  /** Left and right of the plot, for charts that line up with something else. */
  inset_px?: number;
  /** All charts with one key share their hover line. */
  sync?: string;
  xRange?: () => [number, number] | null;
}

const AXIS_FONT = '11px "Inter Variable", sans-serif';

export class Chart {
  readonly element: HTMLElement;
  private readonly options: ChartOptions;
  private plot: uPlot | null = null;
  private lines: ChartLine[] = [];
  private shape = '';
  private cursor: number | null = null;
  /** Lies over the plot, so that the cursor moves without a line being drawn again. */
  private readonly mark = h('div', { class: 'chart-cursor', hidden: true });
  private readonly observer: ResizeObserver;

  constructor(element: HTMLElement, options: ChartOptions) {
    this.element = element;
    this.options = options;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(element);
  }

  setLines(lines: ChartLine[]): void {
    this.lines = lines;
    const shape = lines.map((line) => `${line.label} ${line.colour} ${line.dashed}`).join('|');
    if (!this.plot || shape !== this.shape) {
      this.shape = shape;
      this.build();
    } else {
      this.plot.setData(this.data());
    }
  }

  /** The page's cursor, drawn as a line. */
  setCursor(x: number | null): void {
    if (x === this.cursor) return;
    this.cursor = x;
    this.placeCursor();
  }

  /** Colours come from the stylesheet; after a change of theme they are read again. */
  repaint(): void {
    if (this.plot) this.build();
  }

  destroy(): void {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  private data(): uPlot.AlignedData {
    return align(this.lines) as uPlot.AlignedData;
  }

  private resize(): void {
    const width = this.element.clientWidth;
    if (width === 0) return;
    if (this.plot) this.plot.setSize({ width, height: this.options.height });
    else if (this.lines.length > 0) this.build();
  }

  private build(): void {
    this.plot?.destroy();
    this.plot = null;
    const width = this.element.clientWidth;
    if (width === 0) return;
    this.plot = new uPlot(this.settings(width), this.data(), this.element);
    this.plot.over.append(this.mark);
    this.plot.over.addEventListener('pointerdown', (down) => this.follow(down));
  }

  /** Press and drag on the plot moves the page's cursor. */
  private follow(down: PointerEvent): void {
    const { over } = this.plot!;
    over.setPointerCapture(down.pointerId);
    const seek = (event: PointerEvent) => {
      const x = event.clientX - over.getBoundingClientRect().left;
      if (this.plot) this.options.onSeek(this.plot.posToVal(x, 'x'));
    };
    seek(down);
    over.addEventListener('pointermove', seek);
    over.addEventListener('lostpointercapture', () => over.removeEventListener('pointermove', seek), { once: true });
  }

  private settings(width: number): uPlot.Options {
    const style = getComputedStyle(this.element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const { bare, inset_px: inset, logarithmic, sync, xRange, height } = this.options;
    const axis = (): uPlot.Axis => ({
      show: !bare,
      stroke: colour('--dim'),
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { show: false },
      font: AXIS_FONT,
    });
    const range = xRange?.bind(null);
    const canBeLog = logarithmic && this.lines.every((line) => Array.from(line.values).every((value) => !(value <= 0)));
    return {
      width,
      height,
      padding: bare ? [4, inset ?? 0, 2, inset ?? 0] : [10, 14, 0, 4],
      legend: { show: false },
      scales: {
        x: { time: false, ...(range ? { range: (_: uPlot, low: number, high: number) => range() ?? [low, high] } : {}) },
        y: canBeLog ? { distr: 3 } : {},
      },
      cursor: {
        points: { show: !bare },
        drag: { x: false, y: false },
        y: false,
        ...(sync ? { sync: { key: sync, setSeries: false } } : {}),
      },
      axes: [{ ...axis(), size: 26 }, { ...axis(), size: 58, values: (_, splits) => splits.map(axisNumber) }],
      series: [
        {},
        ...this.lines.map(
          (line): uPlot.Series => ({
            label: line.label,
            stroke: line.colour,
            width: bare ? 1.25 : 1.5,
            spanGaps: true,
            ...(line.dashed ? { dash: [5, 4] } : {}),
            points: { show: line.dots ?? false, size: 5, fill: line.colour },
          }),
        ),
      ],
      hooks: {
        draw: [() => this.placeCursor()],
        setCursor: [(plot) => this.options.onHover?.(hoveredX(plot))],
      },
    };
  }

  private placeCursor(): void {
    const { plot, cursor } = this;
    const isKnown = plot !== null && cursor !== null && plot.data[0].length > 0;
    const x = isKnown ? Math.round(plot.valToPos(cursor, 'x')) : -1;
    this.mark.hidden = !isKnown || x < 0 || x > plot.bbox.width / uPlot.pxRatio;
    if (!this.mark.hidden) this.mark.style.transform = `translateX(${x}px)`;
  }
}

function hoveredX(plot: uPlot): number | null {
  const { idx, left } = plot.cursor;
  return typeof idx === 'number' && left !== undefined && left >= 0 ? plot.data[0][idx]! : null;
}

function axisNumber(value: number | null): string {
  if (value === null) return '';
  const short = Number(value.toPrecision(6));
  return short !== 0 && Math.abs(short) < 1e-3 ? short.toExponential() : short.toLocaleString('en-GB');
}
