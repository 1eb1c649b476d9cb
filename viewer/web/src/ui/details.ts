/** The chosen tensor: over time (histogram, one statistic), its numbers now, its rows. */

import type { Frame, Plan, TensorInfo } from '../data/types';
import { blockHue, toCss } from '../layout/colour';
import { rowNorms } from '../layout/rownorms';
import type { Selection } from '../state/model';
import { messageOf, type KeyNorms, type Session } from '../state/session';
import type { Store } from '../state/store';
import { nearestIndex } from '../state/timeline';
import { Chart } from './chart';
import { button, h, icon, ICONS, setText } from './dom';
import { count, number, percent, shape, token as tokenText } from './format';
import { HistogramChart } from './histogram';
import { RowList } from './rowlist';

/** A second click of a double click goes through the panel that the first one opened. */
const SECOND_CLICK_ms = 400;
/** What a growing run has new is asked for at most so often. */
const REFRESH_ms = 2500;
const HISTOGRAM_REFRESH_ms = 10_000;
/** A cursor that rests so long is worth reading norms for. */
const REST_ms = 200;
const GRADIENT = 'gradient ';
const FIRST_KEY = 'std';

const PAGES = { time: 'over time', numbers: 'numbers', rows: 'rows' } as const;
type PageName = keyof typeof PAGES;

export interface DetailsActions {
  /** Lights a drawn row of the chosen tensor; null lights none. */
  light(selection: Selection, drawn: number | null): void;
}

export class Details {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly session: Session;
  private readonly title = h('h2', { 'data-test': 'details-name' });
  private readonly facts = h('p', { class: 'facts' });
  private readonly table = h('dl', { class: 'statistics', 'data-test': 'details-statistics' });
  private readonly keySelect = h('select', { 'aria-label': 'Statistic over time', 'data-test': 'details-key' });
  private readonly chart: Chart;
  private readonly histogram: HistogramChart;
  private readonly rows: RowList;
  private readonly gradient = h('p', { class: 'hint', 'data-test': 'details-gradient' });
  private readonly problem = h('p', { class: 'hint' });
  private readonly tabs: Record<PageName, HTMLButtonElement>;
  private readonly pages: Record<PageName, HTMLElement>;
  private gradientNow = '';
  private page: PageName = 'time';
  private key = FIRST_KEY;
  /** Of what was asked last: each answer belongs to one of these, or is late. */
  private readonly asked = { curve: 0, histogram: 0, rows: 0 };
  private requests = new AbortController();
  private curve = new AbortController();
  private readonly timers: Partial<Record<'curve' | 'histogram' | 'rows', ReturnType<typeof setTimeout>>> = {};

  constructor(store: Store, session: Session, actions: DetailsActions) {
    this.store = store;
    this.session = session;
    const close = button('close-details', 'Close', icon(ICONS.close), () =>
      store.dispatch({ type: 'selection', selection: null }),
    );
    close.classList.add('round', 'small');
    const seek = (iteration: number) => store.dispatch({ type: 'seek', iteration });
    this.histogram = new HistogramChart((iteration) => seek(this.nearest(iteration)));
    this.rows = new RowList((drawn) => {
      if (store.state.selection) actions.light(store.state.selection, drawn);
    });
    const box = h('div', { class: 'details-chart' });
    this.pages = {
      time: h('div', { class: 'details-page' }, this.histogram.element, h('div', { class: 'card-head' }, this.keySelect), box, this.gradient, this.problem),
      numbers: h('div', { class: 'details-page' }, this.table),
      rows: h('div', { class: 'details-page' }, this.rows.element),
    };
    const tab = (name: PageName) =>
      button(`details-${name}`, PAGES[name], PAGES[name], () => this.turnTo(name), { role: 'tab' });
    this.tabs = { time: tab('time'), numbers: tab('numbers'), rows: tab('rows') };
    this.element = h(
      'aside',
      { class: 'details', 'aria-label': 'Chosen tensor', hidden: true, 'data-test': 'details' },
      h('div', { class: 'panel-head' }, this.title, close),
      this.facts,
      h('div', { class: 'details-tabs', role: 'tablist' }, ...Object.values(this.tabs)),
      ...Object.values(this.pages),
    );
    this.chart = new Chart(box, { height: 104, onSeek: (x) => seek(Math.round(x)) });
    this.keySelect.addEventListener('change', () => {
      this.key = this.keySelect.value;
      this.tellGradient();
      void this.askCurve(true);
    });
    this.showPage();
    store.subscribe((state, previous) => {
      if (state.selection !== previous.selection) this.open(state.selection);
      if (this.element.hidden) return;
      if (state.theme !== previous.theme) {
        this.chart.repaint();
        this.histogram.repaint();
      }
      if (state.cursor !== previous.cursor) {
        this.chart.setCursor(state.cursor);
        this.histogram.setCursor(state.cursor);
        this.later('rows', REST_ms, () => this.askRows());
      }
      if (state.timeline !== previous.timeline) {
        this.later('curve', REFRESH_ms, () => this.askCurve(false));
        this.later('histogram', HISTOGRAM_REFRESH_ms, () => this.askHistogram());
      }
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
      this.gradientNow = '';
      this.tellGradient();
      return;
    }
    const statistics = rowOf(frame.statistics, run.info.statistics, selection.tensor);
    const gradient = rowOf(frame.gradient_statistics, run.info.gradient_statistics, selection.tensor);
    const { gradient_state: states } = frame;
    const state = states.exceptions[String(selection.tensor)] ?? states.default;
    const entries: [string, string][] = Object.entries(statistics).map(([key, value]) => [key, statisticText(key, value)]);
    const rows = (of: [string, string][]) => of.flatMap(([key, value]) => [h('dt', {}, words(key)), h('dd', {}, value)]);
    const ofGradient: [string, string][] = Object.entries(gradient).map(([key, value]) => [key, statisticText(key, value)]);
    this.table.replaceChildren(...rows(entries), h('dt', { class: 'statistics-head' }, 'gradient'), h('dd', {}, words(state)), ...rows(ofGradient));
    const why = states.reason && state === 'unavailable' ? ` (${states.reason})` : '';
    this.gradientNow = `${gradientText(state, frame.iteration)}${why}`;
    this.tellGradient();
  }

  /** What the gradient of the snapshot is, beside a curve of it. */
  private tellGradient(): void {
    setText(this.gradient, this.key.startsWith(GRADIENT) ? this.gradientNow : '');
  }

  private turnTo(page: PageName): void {
    this.page = page;
    this.showPage();
    if (page === 'rows') void this.askRows();
  }

  private showPage(): void {
    for (const name of Object.keys(PAGES) as PageName[]) {
      this.pages[name].hidden = name !== this.page;
      this.tabs[name].setAttribute('aria-selected', String(name === this.page));
    }
  }

  private open(selection: Selection | null): void {
    if (this.element.hidden && selection) {
      this.element.classList.add('fresh');
      setTimeout(() => this.element.classList.remove('fresh'), SECOND_CLICK_ms);
    }
    this.element.hidden = selection === null;
    this.requests.abort();
    this.requests = new AbortController();
    this.rows.say('');
    if (!selection) return;
    const tensor = this.planOf(selection)?.tensors[selection.tensor];
    const run = this.store.state.runs[selection.run];
    if (!tensor || !run) return;
    this.title.replaceChildren(hueDot(tensor), h('span', {}, ...dotted(tensor.name)));
    this.title.title = tensor.name;
    setText(this.facts, factsOf(tensor));
    const keys = [
      ...run.info.statistics.map((key) => ({ value: key, text: words(key) })),
      ...run.info.gradient_statistics.map((key) => ({ value: GRADIENT + key, text: `gradient ${words(key)}` })),
    ];
    this.keySelect.replaceChildren(...keys.map(({ value, text }) => h('option', { value }, text)));
    if (!keys.some(({ value }) => value === this.key)) this.key = keys[0]?.value ?? FIRST_KEY;
    this.keySelect.value = this.key;
    this.histogram.show(null, blockHue(tensor.block));
    this.histogram.setCursor(this.store.state.cursor);
    void this.askHistogram();
    void this.askCurve(true);
    void this.askRows();
  }

  /** The recorded iteration nearest to a place in the histogram, so that no notice is given. */
  private nearest(iteration: number): number {
    const { timeline } = this.store.state;
    return timeline[nearestIndex(timeline, iteration)] ?? iteration;
  }

  private planOf(selection: Selection): Plan | undefined {
    const { shown, runs } = this.store.state;
    const number = shown[selection.run]?.plan ?? runs[selection.run]?.plan ?? null;
    return this.session.planNow(selection.run, number);
  }

  private later(what: 'curve' | 'histogram' | 'rows', delay_ms: number, ask: () => Promise<void>): void {
    // A cursor that moves on puts its question off; what grows is asked for from time to time.
    if (what === 'rows') clearTimeout(this.timers.rows);
    else if (this.timers[what] !== undefined) return;
    this.timers[what] = setTimeout(() => {
      delete this.timers[what];
      if (!this.element.hidden) void ask();
    }, delay_ms);
  }

  /** The chosen tensor, if it is known. */
  private get chosen(): { selection: Selection; tensor: TensorInfo; plan: Plan } | null {
    const { selection } = this.store.state;
    const plan = selection && this.planOf(selection);
    const tensor = plan?.tensors[selection!.tensor];
    return selection && plan && tensor ? { selection, tensor, plan } : null;
  }

  private async askHistogram(): Promise<void> {
    const { chosen } = this;
    if (!chosen) return;
    const { selection, tensor } = chosen;
    const asked = (this.asked.histogram += 1);
    const { signal } = this.requests;
    try {
      const histograms = await this.session.histograms(selection.run, selection.tensor, signal);
      if (asked === this.asked.histogram) this.histogram.show(histograms, blockHue(tensor.block));
    } catch (error) {
      if (signal.aborted || asked !== this.asked.histogram) return;
      this.histogram.say(`The histogram could not be read: ${messageOf(error)}`);
    }
  }

  private async askCurve(clear: boolean): Promise<void> {
    const { chosen } = this;
    if (!chosen) return;
    const { selection, tensor } = chosen;
    const isGradient = this.key.startsWith(GRADIENT);
    const key = isGradient ? this.key.slice(GRADIENT.length) : this.key;
    const asked = (this.asked.curve += 1);
    this.curve.abort();
    this.curve = new AbortController();
    const { signal } = this.curve;
    if (clear) this.chart.setLines([]);
    try {
      const of = isGradient ? 'gradient_statistics' : 'statistics';
      const series = await this.session.timeline(selection.run, selection.tensor, key, of, signal);
      if (this.asked.curve !== asked) return;
      setText(this.problem, '');
      const colour = getComputedStyle(this.element).getPropertyValue('--accent').trim();
      this.chart.setLines([{ label: `${tensor.name} ${key}`, colour, ...series, dots: series.iterations.length < 3 }]);
      this.chart.setCursor(this.store.state.cursor);
    } catch (error) {
      if (signal.aborted || this.asked.curve !== asked) return;
      setText(this.problem, `This curve could not be read: ${messageOf(error)}`);
    }
  }

  /** Norms at the cursor and at the start, if the page with the rows is open. */
  private async askRows(): Promise<void> {
    const { chosen } = this;
    const { cursor, runs } = this.store.state;
    if (!chosen || cursor === null || this.page !== 'rows') return;
    const { selection, plan, tensor } = chosen;
    const asked = (this.asked.rows += 1);
    const { signal } = this.requests;
    try {
      const start = runs[selection.run]!.iterations[0] ?? 0;
      const ask = (iteration: number) => this.session.norms(selection.run, iteration, signal);
      const [now, first, positions, vocabulary] = await Promise.all([
        ask(cursor),
        ask(start),
        this.session.positionsOf(selection.run, plan.number),
        tensor.role === 'token_embedding' ? this.session.vocabulary(selection.run) : null,
      ]);
      if (asked !== this.asked.rows || signal.aborted) return;
      const earlier = first && now && first.iteration < now.iteration && first.plan === now.plan ? first : null;
      const rows = now && now.plan === plan.number ? rowNorms(plan, tensor, positions, now.norms, earlier?.norms ?? null) : null;
      if (!rows) this.rows.say(noRowsText(now, tensor));
      else {
        const nameOf = (row: number) => (vocabulary?.[row] === undefined ? null : tokenText(vocabulary[row]));
        this.rows.show({ iteration: now!.iteration, since: earlier?.iteration ?? null, rows, nameOf });
      }
    } catch (error) {
      if (signal.aborted || asked !== this.asked.rows) return;
      this.rows.say(`The norms could not be read: ${messageOf(error)}`);
    }
  }
}

function noRowsText(now: KeyNorms | null, tensor: TensorInfo): string {
  if (tensor.tied_to) return `Its rows are those of ${tensor.tied_to}.`;
  return now ? 'No norms of rows are recorded of this tensor.' : 'This run holds no norms of rows.';
}

const GRADIENT_TEXTS: Record<string, string> = {
  used: 'as the optimizer used it',
  'scaled-unknown': 'scaled by an unknown factor',
  skipped: 'of a step that was skipped',
  'last-evaluation': 'of the last evaluation in the step',
  'per-microbatch': 'of one micro-batch',
  unavailable: 'not available',
};

function gradientText(state: string, iteration: number): string {
  return `Gradient at iteration ${count(iteration)}: ${GRADIENT_TEXTS[state] ?? words(state)}.`;
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

/** A name that breaks behind its dots. */
function dotted(name: string): (Node | string)[] {
  return name.split('.').flatMap((part, index) => (index === 0 ? [part] : ['.', h('wbr'), part]));
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
