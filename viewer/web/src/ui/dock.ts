/** The timeline under both tabs: small loss chart, scrubber, playback, where we are. */

import { runColours } from '../layout/colour';
import { SPEEDS, type State } from '../state/model';
import type { Player } from '../state/player';
import { isLive } from '../state/reducer';
import type { Store } from '../state/store';
import { fractionalIndex } from './align';
import { Chart } from './chart';
import { button, h, icon, ICONS, setText } from './dom';
import { count, number } from './format';
import { MARK_LOOKS, Scrubber, TRACK_INSET_px } from './scrubber';

/** A live run's chart is redrawn at most so often. */
const CHART_INTERVAL_ms = 250;

export class Dock {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly chartBox = h('div', { class: 'mini-chart', 'data-test': 'mini-chart' });
  private readonly chart: Chart;
  private readonly playButton: HTMLButtonElement;
  private readonly followButton: HTMLButtonElement;
  private readonly speed = h('select', { 'data-test': 'speed', 'aria-label': 'Playback speed', title: 'Playback speed' });
  private readonly jump = h('input', {
    type: 'text',
    inputmode: 'numeric',
    'data-test': 'iteration-box',
    'aria-label': 'Go to iteration',
    title: 'Type an iteration and press Enter',
  });
  private readonly total = h('span', { class: 'dim', 'data-test': 'iteration-total' });
  private readonly loss = h('span', { class: 'loss', 'data-test': 'loss' });
  private readonly live = h('div', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
  private readonly marks = h('div', { class: 'marks', 'aria-hidden': 'true' });
  private chartTimer: ReturnType<typeof setTimeout> | null = null;
  private liveTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(store: Store, player: Player) {
    this.store = store;
    const scrubber = new Scrubber(store);
    this.playButton = button('play', 'Play or pause (space)', icon(ICONS.play), () => player.toggle(), {
      class: 'round primary',
    });
    this.followButton = button('follow', 'Follow the newest iteration', 'Follow live', () =>
      store.dispatch({ type: 'follow' }),
    );
    this.followButton.classList.add('follow');
    for (const speed of SPEEDS) this.speed.append(h('option', { value: speed }, `${speed}×`));
    this.speed.value = '1';
    this.speed.addEventListener('change', () =>
      store.dispatch({ type: 'speed', speed: Number(this.speed.value) }),
    );
    this.jump.addEventListener('keydown', (event) => this.jumpKey(event));
    this.jump.addEventListener('blur', () => this.showCursor(store.state));
    const step = (by: number) => () => store.dispatch({ type: 'step', by });
    this.element = h(
      'section',
      { class: 'dock', 'aria-label': 'Timeline' },
      this.chartBox,
      scrubber.element,
      h(
        'div',
        { class: 'controls' },
        h(
          'div',
          { class: 'transport' },
          button('first', 'First snapshot (Home)', icon(ICONS.first), () => store.dispatch({ type: 'first' })),
          button('back', 'One snapshot back (left arrow)', icon(ICONS.back), step(-1)),
          this.playButton,
          button('forward', 'One snapshot on (right arrow)', icon(ICONS.forward), step(1)),
          button('last', 'Last snapshot (End)', icon(ICONS.last), () => store.dispatch({ type: 'last' })),
          this.speed,
        ),
        h('label', { class: 'where' }, h('span', { class: 'dim' }, 'iteration'), this.jump, this.total),
        this.loss,
        this.followButton,
        this.marks,
      ),
      this.live,
    );
    this.chart = new Chart(this.chartBox, {
      height: 58,
      bare: true,
      inset_px: TRACK_INSET_px,
      onSeek: (index) => this.seekIndex(index),
      xRange: () => [0, Math.max(store.state.timeline.length - 1, 1)],
    });
    store.subscribe((state, previous) => this.follow(state, previous));
  }

  private follow(state: State, previous: State): void {
    if (state.cursor !== previous.cursor || state.timeline !== previous.timeline) this.showCursor(state);
    if (state.runs !== previous.runs || state.selected !== previous.selected) {
      this.chartLater();
      this.showCursor(state);
      this.showMarks(state);
    }
    if (state.shown !== previous.shown) this.announce(state);
    if (state.playing !== previous.playing) {
      this.playButton.replaceChildren(icon(state.playing ? ICONS.pause : ICONS.play));
      this.playButton.setAttribute('aria-pressed', String(state.playing));
    }
    if (state.speed !== previous.speed) this.speed.value = String(state.speed);
    if (state.theme !== previous.theme) {
      this.drawChart(state);
      this.showLoss(state);
    }
    if (state.tab !== previous.tab) this.chartBox.hidden = state.tab === 'loss';
    this.followButton.hidden = !isLive(state);
    this.followButton.setAttribute('aria-pressed', String(state.following));
    setText(this.followButton, state.following ? 'Live' : 'Follow live');
  }

  private jumpKey(event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key === 'Escape') this.jump.blur();
    if (event.key !== 'Enter') return;
    const wish = Number(this.jump.value.replace(/[,\s]/g, ''));
    if (Number.isFinite(wish)) this.store.dispatch({ type: 'seek', iteration: wish });
    this.jump.blur();
  }

  private seekIndex(index: number): void {
    const { timeline } = this.store.state;
    const iteration = timeline[Math.min(Math.max(Math.round(index), 0), timeline.length - 1)];
    if (iteration !== undefined) this.store.dispatch({ type: 'seek', iteration });
  }

  private showCursor(state: State): void {
    if (document.activeElement !== this.jump) this.jump.value = state.cursor === null ? '' : count(state.cursor);
    const newest = state.timeline.at(-1);
    setText(this.total, newest === undefined ? 'no snapshot yet' : `of ${count(newest)}`);
    this.showLoss(state);
    this.chart.setCursor(state.cursor === null ? null : fractionalIndex(state.timeline, state.cursor));
  }

  private showLoss(state: State): void {
    const parts = state.selected.map((id, index) => {
      const value = state.cursor === null ? null : (state.runs[id]?.series.loss?.at(state.cursor) ?? null);
      const text = h('span', { class: 'loss-value' }, value === null ? '–' : number(value));
      if (state.selected.length > 1) text.style.color = runColours(index, state.theme).line;
      return text;
    });
    this.loss.replaceChildren(h('span', { class: 'dim' }, 'loss'), ...parts);
  }

  private showMarks(state: State): void {
    const kinds = markKinds(state);
    if (kinds.join() === this.marks.dataset.kinds) return;
    this.marks.dataset.kinds = kinds.join();
    const mark = (kind: string) => h('span', { class: `mark ${MARK_LOOKS[kind]}` }, kind.replace('_', ' '));
    this.marks.replaceChildren(...kinds.map(mark));
  }

  /** Told at rest only: a screen reader can't follow a playing run. */
  private announce(state: State): void {
    if (this.liveTimer !== null) clearTimeout(this.liveTimer);
    this.liveTimer = setTimeout(() => {
      const said = state.selected.map((id) => {
        const shown = state.shown[id];
        if (!shown) return '';
        const loss = state.runs[id]?.series.loss?.at(shown.iteration) ?? null;
        const name = state.selected.length > 1 ? `${state.runs[id]?.info.name}: ` : '';
        return `${name}iteration ${shown.iteration}${loss === null ? '' : `, loss ${number(loss)}`}`;
      });
      setText(this.live, said.join('; '));
    }, 400);
  }

  private chartLater(): void {
    this.chartTimer ??= setTimeout(() => {
      this.chartTimer = null;
      this.drawChart(this.store.state);
    }, CHART_INTERVAL_ms);
  }

  /** Each run's loss over the snapshots' places; what lies between two of them is drawn between them. */
  private drawChart(state: State): void {
    const lines = state.selected.flatMap((id, index) => {
      const series = state.runs[id]?.series.loss;
      if (!series || series.iterations.length === 0) return [];
      const last = state.timeline.at(-1) ?? 0;
      const first = state.timeline[0] ?? 0;
      const inside = series.iterations.map((iteration) => iteration >= first && iteration <= last);
      return [
        {
          label: state.runs[id]!.info.name,
          colour: runColours(index, state.theme).line,
          iterations: series.iterations.filter((_, at) => inside[at]).map((at) => fractionalIndex(state.timeline, at)),
          values: series.values.filter((_, at) => inside[at]),
        },
      ];
    });
    this.chart.setLines(lines);
    this.chart.setCursor(state.cursor === null ? null : fractionalIndex(state.timeline, state.cursor));
  }
}

/** The kinds of marks that the timeline has, in a fixed order. */
function markKinds(state: State): string[] {
  const seen = new Set(state.selected.flatMap((id) => state.runs[id]?.events ?? []).map((event) => event.kind));
  return Object.keys(MARK_LOOKS).filter((kind) => seen.has(kind));
}
