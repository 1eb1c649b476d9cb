/** What is under the pointer, in a card beside it. */

import { isLost, sampleAt } from '../data/samples';
import type { Frame, Plan, TensorInfo } from '../data/types';
import { matrixShape } from '../layout/boxes';
import { placeCard } from '../layout/card';
import { blockHue, toCss } from '../layout/colour';
import type { ScreenRect } from '../layout/labels';
import { rowOf, sampleText, statisticText, words } from './details';
import { h } from './dom';
import { exact, indices, number, shape } from './format';

const STATISTICS = ['mean', 'std', 'rms', 'absmax', 'sparsity', 'update_ratio'];
const GAP_px = 18;
const TOKEN_GAP_px = 12;
const RIM_px = 4;

interface Point {
  x: number;
  y: number;
}

export interface CellFacts {
  plan: Plan;
  tensor: TensorInfo;
  frame: Frame | null;
  statistics: readonly string[];
  /** place in the grid of samples */
  row: number;
  column: number;
  /** flat index in the whole tensor; null while the positions are on their way */
  position: number | null;
  /** what its colour is of besides the stored value, and what is known of the elements around it */
  lines: [label: string, text: string][];
}

export interface TokenFacts {
  /** index in the vocabulary */
  token: number;
  text: string | null;
  magnitude: number;
  coordinates: [number, number, number];
}

export class HoverCard {
  /** Taken by something else at the right of the scene. */
  reservedRight_px = 0;
  readonly element = h('div', { class: 'hover-card', hidden: true, 'data-test': 'hover-card' });

  hide(): void {
    this.element.hidden = true;
  }

  /** `keeps`: what it leaves uncovered, as `placeCard` takes it. */
  showCell(facts: CellFacts, at: Point, keeps: readonly (readonly ScreenRect[])[]): void {
    const { tensor, frame } = facts;
    const lines = [heading(tensor.name, toCss(blockHue(tensor.block)))];
    lines.push(h('div', { class: 'dim' }, `${words(tensor.role)} · ${shape(tensor.shape)} ${tensor.dtype}`));
    const value = frame && tensor.samples > 0 ? valueAt(frame, facts) : null;
    if (value !== null) {
      const stored = tensor.array === 'values' ? 'float16' : 'float32';
      lines.push(
        h(
          'div',
          { class: 'cell' },
          h('span', { class: 'cell-index', 'data-test': 'hover-index' }, indexText(tensor, facts.position)),
          h('span', { class: 'cell-value', 'data-test': 'hover-value' }, exact(value)),
          h('span', { class: 'dim' }, stored),
        ),
      );
    }
    for (const [label, text] of facts.lines) {
      const entry = h('span', { 'data-test': 'hover-coloured' }, text);
      lines.push(h('div', { class: 'cell' }, h('span', { class: 'dim' }, label), entry));
    }
    const samples = isLost(facts.plan, tensor) ? 'its samples are damaged' : sampleText(tensor);
    lines.push(h('div', { class: 'dim' }, samples));
    const row = frame ? rowOf(frame.statistics, facts.statistics, tensor.index) : {};
    const known = STATISTICS.filter((key) => row[key] !== undefined && !Number.isNaN(row[key]));
    if (known.length > 0 && tensor.samples > 0) {
      lines.push(
        h(
          'dl',
          { class: 'statistics' },
          ...known.flatMap((key) => [h('dt', {}, words(key)), h('dd', {}, statisticText(key, row[key]!))]),
        ),
      );
    }
    this.open(lines, at, keeps, GAP_px);
  }

  showToken(facts: TokenFacts, at: Point, keeps: readonly (readonly ScreenRect[])[]): void {
    const lines = [
      heading(facts.text === null ? `token ${facts.token}` : `“${facts.text}”`, toCss(blockHue('embedding'))),
      h('div', { class: 'dim' }, `token ${facts.token} · norm ${number(facts.magnitude)}`),
      h('div', { class: 'dim' }, `at (${facts.coordinates.map((value) => number(value)).join(', ')})`),
    ];
    this.open(lines, at, keeps, TOKEN_GAP_px);
  }

  /** Beside what it tells of, and always inside the scene. */
  private open(lines: HTMLElement[], at: Point, keeps: readonly (readonly ScreenRect[])[], gap_px: number): void {
    this.element.replaceChildren(...lines);
    this.element.hidden = false;
    const scene = this.element.parentElement!;
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const room = {
      ...{ left: RIM_px, top: RIM_px, height: scene.clientHeight - 2 * RIM_px },
      width: scene.clientWidth - this.reservedRight_px - 2 * RIM_px,
    };
    const { left, top } = placeCard(at, { width, height }, room, keeps, gap_px);
    this.element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}

/** The stored sample itself. */
function valueAt(frame: Frame, { plan, tensor, row, column }: CellFacts): number | null {
  return sampleAt(frame, plan, tensor, tensor.offset + row * tensor.grid[1] + column);
}

/** Where the cell lies in the whole tensor; matrices of more than two axes say all of them. */
function indexText(tensor: TensorInfo, position: number | null): string {
  if (position === null) return '[…]';
  const [rows, columns] = matrixShape(tensor);
  const place = tensor.shape.length > 2 ? indices(position, tensor.shape) : undefined;
  if (place) return `[${place.join(', ')}]`;
  return rows === 1 ? `[${position}]` : `[${Math.floor(position / columns)}, ${position % columns}]`;
}

function heading(text: string, colour: string): HTMLElement {
  const dot = h('span', { class: 'hue', 'aria-hidden': 'true' });
  dot.style.background = colour;
  return h('div', { class: 'card-title', 'data-test': 'hover-name' }, dot, h('span', {}, text));
}
