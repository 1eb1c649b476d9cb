/** The rows of the chosen tensor by their norms: the largest, the smallest, those that changed most. */

import { changeOf, extremes, type RowNorm } from '../layout/rownorms';
import { h } from './dom';
import { count, number } from './format';

const MOST_ROWS = 6;

export interface RowsShown {
  /** the key snapshot that told the norms, and the earlier one that they are compared with */
  iteration: number;
  since: number | null;
  rows: RowNorm[];
  /** what a row stands for, where it has a name */
  nameOf: (row: number) => string | null;
}

export class RowList {
  readonly element = h('div', { class: 'row-list', 'data-test': 'rows' });
  private readonly light: (drawn: number | null) => void;
  private lit: number | null = null;

  /** `light` marks a row of the drawn tensor; null marks none. */
  constructor(light: (drawn: number | null) => void) {
    this.light = light;
  }

  say(text: string): void {
    this.put(null);
    this.element.replaceChildren(h('p', { class: 'hint' }, text));
  }

  show({ iteration, since, rows, nameOf }: RowsShown): void {
    const { largest, smallest, changed } = extremes(rows, MOST_ROWS);
    const most = largest[0]?.norm ?? 1;
    const list = (title: string, of: readonly RowNorm[]) =>
      of.length === 0 ? [] : [h('h3', {}, title), h('div', { class: 'norm-rows' }, ...of.map((row) => this.row(row, most, nameOf)))];
    const compared = since === null ? '' : `, and how much each changed since iteration ${count(since)}`;
    this.element.replaceChildren(
      h('p', { class: 'hint' }, `Norms of ${count(rows.length)} rows at iteration ${count(iteration)}, a key snapshot${compared}.`),
      ...list('largest', largest),
      ...list('smallest', smallest),
      ...list('changed most', changed),
    );
    this.mark();
  }

  /** Lights a row, or none. */
  private put(drawn: number | null): void {
    if (drawn === this.lit) return;
    this.lit = drawn;
    this.light(drawn);
    this.mark();
  }

  private mark(): void {
    for (const row of this.element.querySelectorAll('[data-drawn]')) {
      row.setAttribute('aria-pressed', String(row.getAttribute('data-drawn') === String(this.lit)));
    }
  }

  private row(row: RowNorm, most: number, nameOf: (row: number) => string | null): HTMLElement {
    const bar = h('span', { class: 'norm-bar', 'aria-hidden': 'true' });
    bar.style.width = `${Math.max((row.norm / most) * 100, 0)}%`;
    const change = changeOf(row);
    const name = nameOf(row.row);
    const content = [
      h('span', { class: 'norm-row-name' }, name === null ? count(row.row) : `${count(row.row)} ${name}`),
      h('span', { class: 'norm-track' }, bar),
      h('span', { class: 'norm-value' }, number(row.norm)),
      h('span', { class: 'norm-change dim' }, change === null ? '' : changeText(change)),
    ];
    const { drawn } = row;
    if (drawn === null) return h('div', { class: 'norm-row', title: 'This row is not among the sampled ones.' }, ...content);
    const button = h(
      'button',
      { type: 'button', class: 'norm-row', 'data-drawn': drawn, 'data-test': `row-${row.row}`, 'aria-pressed': 'false', title: `Light row ${row.row}` },
      ...content,
    );
    button.addEventListener('click', () => this.put(this.lit === drawn ? null : drawn));
    return button;
  }
}

function changeText(change: number): string {
  if (Math.abs(change) < 0.0005) return '±0 %';
  const size = Math.abs(change);
  const text = size < 10 ? `${(size * 100).toFixed(size < 0.0995 ? 1 : 0)} %` : `× ${number(change + 1)}`;
  return size < 10 ? `${change > 0 ? '+' : '−'}${text}` : text;
}
