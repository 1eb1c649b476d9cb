/** The chosen tensor: what it is, its statistics now, and one of them over the whole run. */

import type { Frame, Plan, TensorInfo } from '../data/types';
import { blockHue, toCss } from '../layout/colour';
import type { Selection } from '../state/model';
import { messageOf, type Session } from '../state/session';
import type { Store } from '../state/store';
import { Chart } from './chart';
import { button, h, icon, ICONS, setText } from './dom';
import { count, number, percent, shape } from './format';

/** A growing run's curve is asked for again at most so often. */
const REFRESH_ms = 2500;
const GRADIENT = 'gradient ';
const FIRST_KEY = 'std';

export class Details {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly session: Session;
  private readonly title = h('h2', { 'data-test': 'details-name' });
  private readonly facts = h('p', { class: 'facts' });
  private readonly table = h('dl', { class: 'statistics', 'data-test': 'details-statistics' });
  private readonly keySelect = h('select', { 'aria-label': 'Statistic over time', 'data-test': 'details-key' });
  private readonly chart: Chart;
  private readonly problem = h('p', { class: 'hint' });
  private key = FIRST_KEY;
  private asked = '';
  private request: AbortController | null = null;
  private refreshTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(store: Store, session: Session) {
    this.store = store;
    this.session = session;
    const close = button('close-details', 'Close', icon(ICONS.close), () =>
      store.dispatch({ type: 'selection', selection: null }),
    );
    close.classList.add('round', 'small');
    const box = h('div', { class: 'details-chart' });
    this.element = h(
      'aside',
      { class: 'details', 'aria-label': 'Chosen tensor', hidden: true, 'data-test': 'details' },
      h('div', { class: 'panel-head' }, this.title, close),
      this.facts,
      this.table,
      h('div', { class: 'card-head' }, this.keySelect, h('span', { class: 'dim' }, 'over iterations')),
      box,
      this.problem,
    );
    this.chart = new Chart(box, {
      height: 130,
      onSeek: (x) => store.dispatch({ type: 'seek', iteration: Math.round(x) }),
    });
    this.keySelect.addEventListener('change', () => {
      this.key = this.keySelect.value;
      this.ask(true);
    });
    store.subscribe((state, previous) => {
      if (state.selection !== previous.selection) this.open(state.selection);
      if (state.theme !== previous.theme) this.chart.repaint();
      this.chart.setCursor(state.cursor);
      if (state.timeline !== previous.timeline) this.askLater();
    });
  }

  /** The statistics of the snapshot on screen. */
  update(frame: Frame | null): void {
    const { selection, runs } = this.store.state;
    if (!selection || this.element.hidden) return;
    const run = runs[selection.run];
    if (!run) return;
    if (!frame) {
      this.table.replaceChildren(h('dt', {}, 'no snapshot to read'), h('dd', {}, '–'));
      return;
    }
    const statistics = rowOf(frame.statistics, run.info.statistics, selection.tensor);
    const gradient = rowOf(frame.gradient_statistics, run.info.gradient_statistics, selection.tensor);
    const entries: [string, string][] = Object.entries(statistics).map(([key, value]) => [key, statisticText(key, value)]);
    const norm = gradient.l2_norm;
    const state = frame.gradient_state.exceptions[String(selection.tensor)] ?? frame.gradient_state.default;
    entries.push(['gradient l2_norm', norm === undefined || Number.isNaN(norm) ? `– (${state})` : number(norm)]);
    entries.push(['gradient state', state]);
    this.table.replaceChildren(...entries.flatMap(([key, value]) => [h('dt', {}, words(key)), h('dd', {}, value)]));
  }

  private open(selection: Selection | null): void {
    this.element.hidden = selection === null;
    this.request?.abort();
    this.asked = '';
    if (!selection) return;
    const plan = this.planOf(selection);
    const tensor = plan?.tensors[selection.tensor];
    const run = this.store.state.runs[selection.run];
    if (!tensor || !run) return;
    this.title.replaceChildren(hueDot(tensor), h('span', {}, tensor.name));
    this.title.title = tensor.name;
    setText(this.facts, factsOf(tensor));
    const keys = [
      ...run.info.statistics.map((key) => ({ value: key, text: words(key) })),
      ...run.info.gradient_statistics.map((key) => ({ value: GRADIENT + key, text: `gradient ${words(key)}` })),
    ];
    this.keySelect.replaceChildren(...keys.map(({ value, text }) => h('option', { value }, text)));
    if (!keys.some(({ value }) => value === this.key)) this.key = keys[0]?.value ?? FIRST_KEY;
    this.keySelect.value = this.key;
    this.ask(true);
  }

  private planOf(selection: Selection): Plan | undefined {
    const { shown, runs } = this.store.state;
    const number = shown[selection.run]?.plan ?? runs[selection.run]?.plan ?? null;
    return this.session.planNow(selection.run, number);
  }

  private askLater(): void {
    if (this.element.hidden) return;
    this.refreshTimer ??= setTimeout(() => {
      this.refreshTimer = null;
      this.ask(false);
    }, REFRESH_ms);
  }

  private ask(clear: boolean): void {
    const { selection } = this.store.state;
    const tensor = selection && this.planOf(selection)?.tensors[selection.tensor];
    if (!selection || !tensor) return;
    this.request?.abort();
    this.request = new AbortController();
    const isGradient = this.key.startsWith(GRADIENT);
    const key = isGradient ? this.key.slice(GRADIENT.length) : this.key;
    this.asked = `${selection.run}/${selection.tensor}/${this.key}`;
    if (clear) this.chart.setLines([]);
    void this.draw(selection, tensor, key, isGradient, this.asked, this.request.signal);
  }

  private async draw(
    selection: Selection,
    tensor: TensorInfo,
    key: string,
    isGradient: boolean,
    asked: string,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const of = isGradient ? 'gradient_statistics' : 'statistics';
      const series = await this.session.timeline(selection.run, selection.tensor, key, of, signal);
      if (this.asked !== asked) return;
      setText(this.problem, '');
      const colour = getComputedStyle(this.element).getPropertyValue('--accent').trim();
      const label = `${tensor.name} ${key}`;
      this.chart.setLines([{ label, colour, ...series, dots: series.iterations.length < 3 }]);
      this.chart.setCursor(this.store.state.cursor);
    } catch (error) {
      if (signal.aborted || this.asked !== asked) return;
      setText(this.problem, `This curve could not be read: ${messageOf(error)}`);
    }
  }
}

/** One tensor's row of a table tensors × keys, as a map. */
export function rowOf(table: Float32Array | null, keys: readonly string[], tensor: number): Record<string, number> {
  if (!table) return {};
  return Object.fromEntries(keys.map((key, column) => [key, table[tensor * keys.length + column]!]));
}

export function statisticText(key: string, value: number): string {
  if (Number.isNaN(value)) return '–';
  if (key.startsWith('n_')) return count(value);
  if (key === 'sparsity' || key === 'unchanged_share') return percent(value);
  return number(value);
}

/** "whole tensor", or how much of it was recorded. */
export function sampleText(tensor: TensorInfo): string {
  if (tensor.tied_to) return `shares the weights of ${tensor.tied_to}`;
  if (tensor.skipped) return `not recorded: ${tensor.skipped}`;
  const size = tensor.shape.reduce((product, extent) => product * extent, 1);
  return tensor.samples === size
    ? `whole tensor, ${count(size)} elements`
    : `${count(tensor.samples)} of ${count(size)} elements sampled`;
}

function factsOf(tensor: TensorInfo): string {
  const frozen = tensor.frozen ? ' · frozen' : '';
  return `${words(tensor.role)} · ${shape(tensor.shape)} ${tensor.dtype}${frozen} · ${sampleText(tensor)}`;
}

function hueDot(tensor: TensorInfo): HTMLElement {
  const dot = h('span', { class: 'hue', 'aria-hidden': 'true' });
  dot.style.background = toCss(blockHue(tensor.block));
  return dot;
}

const COUNTS: Record<string, string> = {
  n_nan: 'NaN',
  n_inf: 'inf',
  n_overflow: 'overflow of float16',
  n_underflow: 'underflow of float16',
};

/** A statistic's or role's name as text. */
export const words = (key: string) => COUNTS[key] ?? key.replaceAll('_', ' ');
