/** Training loss: every scalar of the runs over iterations, one cursor through all charts. */

import { runColours } from '../layout/colour';
import type { State } from '../state/model';
import type { Store } from '../state/store';
import { Chart, type ChartLine } from './chart';
import { button, h } from './dom';
import { count, number } from './format';

const REDRAW_ms = 250;
const VALIDATION = 'validation_loss';

interface ChartCard {
  names: string[];
  element: HTMLElement;
  /** values at the cursor */
  readout: HTMLElement;
  chart: Chart;
}

const TITLES: Record<string, string> = {
  loss: 'Loss',
  learning_rate: 'Learning rate',
  gradient_norm: 'Gradient norm',
  gradient_norm_before_clipping: 'Gradient norm before clipping',
  recording_ms: 'Recording time (ms)',
};

export class LossTab {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly cards = new Map<string, ChartCard>();
  private readonly grid = h('div', { class: 'charts' });
  private readonly empty = h('p', { class: 'empty' }, 'No scalar has been recorded yet.');
  private timer: ReturnType<typeof setTimeout> | null = null;
  private logarithmic = false;
  /** The iteration under the pointer, in any of the charts. */
  private hovered: number | null = null;

  constructor(store: Store) {
    this.store = store;
    this.element = h(
      'main',
      { class: 'loss-tab', id: 'panel-loss', role: 'tabpanel', 'aria-label': 'Training loss', hidden: true },
      this.empty,
      this.grid,
    );
    store.subscribe((state, previous) => {
      if (state.tab !== previous.tab) this.element.hidden = state.tab !== 'loss';
      if (state.tab !== 'loss') return;
      const fresh = state.runs !== previous.runs || state.selected !== previous.selected;
      if (state.tab !== previous.tab) this.draw(state);
      else if (fresh) this.drawLater();
      if (state.theme !== previous.theme) this.repaint(state);
      for (const card of this.cards.values()) this.showCursor(card);
    });
  }

  private repaint(state: State): void {
    for (const { chart } of this.cards.values()) chart.repaint();
    this.draw(state);
  }

  private drawLater(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.draw(this.store.state);
    }, REDRAW_ms);
  }

  private draw(state: State): void {
    const groups = groupsOf(state);
    this.empty.hidden = groups.length > 0;
    for (const [key, card] of this.cards) {
      if (groups.some((names) => names[0] === key)) continue;
      card.chart.destroy();
      card.element.remove();
      this.cards.delete(key);
    }
    groups.forEach((names) => {
      const card = this.cards.get(names[0]!) ?? this.makeCard(names);
      card.chart.setLines(linesOf(state, names));
      this.showCursor(card);
    });
  }

  private showCursor(card: ChartCard): void {
    card.chart.setCursor(this.store.state.cursor);
    showReadout(card, this.store.state, this.hovered);
  }

  private makeCard(names: string[]): ChartCard {
    const large = names[0] === 'loss';
    const box = h('div', { class: 'chart' });
    const toggle = large
      ? button('log-scale', 'Logarithmic loss axis', 'log', () => this.toggleLog(), { class: 'quiet', 'aria-pressed': 'false' })
      : null;
    const key = h('span', { class: 'chart-key' });
    const readout = h('span', { class: 'readout' });
    const title = h('h2', {}, TITLES[names[0]!] ?? names[0]!);
    const element = h(
      'section',
      { class: large ? 'card large' : 'card', 'data-test': `chart-${names[0]}` },
      h('div', { class: 'card-head' }, title, key, readout, toggle),
      box,
    );
    const chart = new Chart(box, {
      height: large ? largeHeight() : 200,
      sync: 'scalars',
      logarithmic: large && this.logarithmic,
      onSeek: (x) => this.store.dispatch({ type: 'seek', iteration: Math.round(x) }),
      onHover: (x) => {
        this.hovered = x;
        showReadout(card, this.store.state, x);
      },
    });
    if (large) {
      const dashed = h('span', { class: 'dash' }, 'validation');
      key.append(h('span', { class: 'line' }, 'training'), dashed);
    }
    const card: ChartCard = { names, element, readout, chart };
    this.cards.set(names[0]!, card);
    if (large) this.grid.before(element);
    else this.grid.append(element);
    return card;
  }

  private toggleLog(): void {
    this.logarithmic = !this.logarithmic;
    const card = this.cards.get('loss');
    if (!card) return;
    card.chart.destroy();
    card.element.remove();
    this.cards.delete('loss');
    this.draw(this.store.state);
    this.element.querySelector('[data-test="log-scale"]')?.setAttribute('aria-pressed', String(this.logarithmic));
  }
}

/** The large chart takes what a small window can give. */
function largeHeight(): number {
  return Math.round(Math.min(Math.max(innerHeight * 0.36, 200), 380));
}

/** In words what the chart says under the pointer, else at the cursor. */
function showReadout(card: ChartCard, state: State, hovered: number | null): void {
  const at = hovered ?? state.cursor;
  if (at === null) return;
  const values = state.selected.flatMap((id, index) =>
    card.names.flatMap((name) => {
      const value = state.runs[id]?.series[name]?.at(at) ?? null;
      if (value === null) return [];
      const colours = runColours(index, state.theme);
      const text = h('span', {}, number(value));
      text.style.color = name === VALIDATION ? colours.strong : colours.line;
      return [text];
    }),
  );
  card.readout.replaceChildren(h('span', { class: 'readout-at' }, `at ${count(at)}`), ...values);
}

/** Loss with validation loss first, then the learning rate and the norms, then whatever else there is. */
function groupsOf(state: State): string[][] {
  const names = new Set(state.selected.flatMap((id) => Object.keys(state.runs[id]?.series ?? {})));
  const groups: string[][] = [];
  const loss = ['loss', VALIDATION].filter((name) => names.has(name));
  if (loss.length > 0) groups.push(names.has('loss') ? ['loss', VALIDATION] : loss);
  for (const name of loss) names.delete(name);
  for (const name of ['learning_rate', 'gradient_norm', 'gradient_norm_before_clipping']) {
    if (names.delete(name)) groups.push([name]);
  }
  return [...groups, ...[...names].sort().map((name) => [name])];
}

function linesOf(state: State, names: readonly string[]): ChartLine[] {
  return state.selected.flatMap((id, index) =>
    names.flatMap((name): ChartLine[] => {
      const series = state.runs[id]?.series[name];
      if (!series) return [];
      const colours = runColours(index, state.theme);
      const isValidation = name === VALIDATION;
      return [
        {
          label: `${state.runs[id]!.info.name} ${name}`,
          colour: isValidation ? colours.strong : colours.line,
          dashed: isValidation,
          dots: isValidation || series.iterations.length < 3,
          iterations: series.iterations,
          values: series.values,
        },
      ];
    }),
  );
}
