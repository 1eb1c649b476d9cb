/** The page's head: wordmark, the runs with their state, tabs, theme and help. */

import type { Problem, RunSummary } from '../data/types';
import { runColours } from '../layout/colour';
import type { State } from '../state/model';
import type { Store } from '../state/store';
import { button, h, icon, ICONS, prose, setText } from './dom';
import { age } from './format';

export interface HeaderActions {
  select(runs: string[]): void;
}

export class Header {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly actions: HeaderActions;
  private readonly runs = h('div', { class: 'runs' });
  private readonly picker = h('div', { class: 'picker', hidden: true, 'data-test': 'run-picker' });
  private readonly tabs: Record<'loss' | 'model', HTMLButtonElement>;
  private readonly themeButton: HTMLButtonElement;
  private chipsKey = '';

  constructor(store: Store, actions: HeaderActions) {
    this.store = store;
    this.actions = actions;
    const tab = (id: 'loss' | 'model', text: string, key: string) =>
      button(`tab-${id}`, `${text} (key ${key})`, text, () => store.dispatch({ type: 'tab', tab: id }), {
        role: 'tab',
        'aria-controls': `panel-${id}`,
        class: 'tab',
      });
    this.tabs = { loss: tab('loss', 'Training loss', '1'), model: tab('model', 'Model parameters', '2') };
    this.themeButton = button('theme', 'Switch between dark and light', '', () => this.switchTheme(), {
      class: 'round',
    });
    const help = button('help', 'Keys and help (key ?)', icon(ICONS.help), () => this.openHelp(), { class: 'round' });
    this.element = h(
      'header',
      { class: 'head' },
      h('div', { class: 'wordmark' }, h('span', { class: 'glyph', 'aria-hidden': 'true' }), h('span', {}, 'paramviz')),
      this.runs,
      h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'What to look at' }, this.tabs.loss, this.tabs.model),
      h('div', { class: 'head-tools' }, this.themeButton, help),
      this.picker,
    );
    store.subscribe((state, previous) => {
      if (state.runs !== previous.runs || chipsKey(state) !== this.chipsKey) this.showRuns(state);
      if (state.tab !== previous.tab) this.showTab(state);
      if (state.theme !== previous.theme) this.showTheme(state);
    });
    this.showTab(store.state);
    this.showTheme(store.state);
    setInterval(() => this.showAges(store.state), 1000);
    document.addEventListener('pointerdown', (event) => {
      if (!this.element.contains(event.target as Node)) this.picker.hidden = true;
    });
  }

  private switchTheme(): void {
    this.store.dispatch({ type: 'theme', theme: this.store.state.theme === 'dark' ? 'light' : 'dark' });
  }

  private openHelp(): void {
    this.store.dispatch({ type: 'help', open: !this.store.state.helpOpen });
  }

  private showTab(state: State): void {
    for (const [id, element] of Object.entries(this.tabs)) {
      element.setAttribute('aria-selected', String(id === state.tab));
    }
  }

  private showTheme(state: State): void {
    this.themeButton.replaceChildren(icon(state.theme === 'dark' ? ICONS.sun : ICONS.moon));
  }

  /** Chips are made anew only when what they say changes; news of a run makes its dot pulse once. */
  private showRuns(state: State): void {
    const key = chipsKey(state);
    if (key === this.chipsKey) {
      this.showAges(state);
      for (const dot of this.runs.querySelectorAll('.recording .dot')) pulse(dot);
      return;
    }
    this.chipsKey = key;
    const chips = state.selected.map((id, index) => this.chip(state, id, index));
    const more =
      state.offered.length > state.selected.length && state.offered.length > 1
        ? button('open-picker', 'Choose up to two runs', offerText(state.offered), () => this.openPicker(), {
            class: 'quiet',
            'aria-haspopup': 'true',
          })
        : null;
    this.runs.replaceChildren(...chips, ...(more ? [more] : []));
    this.showAges(state);
  }

  private chip(state: State, id: string, index: number): HTMLElement {
    const run = state.runs[id];
    const key = h('span', { class: 'run-key', 'aria-hidden': 'true' });
    key.style.background = runColours(index, state.theme).line;
    const status = run?.status ?? 'opening';
    const lost = state.connection === 'lost';
    const away = lost ? 'connection lost' : state.problems[id] ? awayText(state.problems[id]) : null;
    const pill = h('span', { class: `pill ${away ? 'lost' : status}`, 'data-test': `status-${index}` });
    pill.append(h('span', { class: 'dot', 'aria-hidden': 'true' }), away ?? status);
    return h(
      'div',
      { class: 'run', 'data-test': `run-${index}`, 'data-run': id },
      state.selected.length > 1 ? key : null,
      h('span', { class: 'run-name', title: describe(state, id) }, run?.info.name ?? id),
      pill,
      h('span', { class: 'run-age', 'data-age': id }),
    );
  }

  private showAges(state: State): void {
    for (const element of this.runs.querySelectorAll('[data-age]')) {
      const run = state.runs[element.getAttribute('data-age')!];
      if (run) setText(element, age(Date.now() / 1000 - run.alive_unix_s));
    }
  }

  private openPicker(): void {
    this.picker.hidden = !this.picker.hidden;
    if (this.picker.hidden) return;
    const { offered, selected } = this.store.state;
    const refused = offered.filter((run) => run.error !== null);
    this.picker.replaceChildren(
      h('p', { class: 'hint' }, 'Up to two runs at once'),
      ...offered.filter((run) => run.error === null).map((run) => this.choice(run, selected)),
      ...(refused.length > 0 ? [h('p', { class: 'hint refused' }, 'Cannot be opened')] : []),
      ...refused.map((run) => refusal(run)),
    );
    this.picker.querySelector('input')?.focus();
  }

  private choice(run: RunSummary, selected: readonly string[]): HTMLElement {
    const box = h('input', {
      type: 'checkbox',
      checked: selected.includes(run.id),
      'data-test': `pick-${run.id}`,
    });
    box.addEventListener('change', () => this.pick(run.id, box.checked));
    const status = run.problem ? awayText(run.problem) : (run.status ?? '');
    const facts = `${status}, ${run.snapshots ?? 0} snapshots`;
    const place = run.place && run.place !== run.name ? `${run.place} · ` : '';
    return h('label', { class: 'choice' }, box, run.name, h('small', {}, place + facts));
  }

  /** A third run takes the place of the second. */
  private pick(id: string, wanted: boolean): void {
    const others = this.store.state.selected.filter((run) => run !== id);
    const next = wanted ? [...others.slice(0, 1), id] : others;
    if (next.length > 0) this.actions.select(next);
    this.picker.hidden = true;
  }
}

function chipsKey(state: State): string {
  const { selected, runs, offered, connection, problems, theme } = state;
  const chips = selected.map((id) => `${id} ${runs[id]?.info.name} ${runs[id]?.status} ${problems[id]?.kind}`);
  return [...chips, offered.length, connection === 'lost', theme].join('|');
}

/** How many runs there are to choose from, and how many were refused. */
function offerText(offered: readonly RunSummary[]): string {
  const refused = offered.filter((run) => run.error !== null).length;
  const runs = `${offered.length} runs`;
  return refused > 0 ? `${runs}, ${refused} cannot be opened` : runs;
}

function awayText(problem: Problem): string {
  return problem.kind === 'unreachable' ? 'out of reach' : 'damaged';
}

/** A run that was refused: its name, and why. */
function refusal(run: RunSummary): HTMLElement {
  return h('div', { class: 'refusal', 'data-test': `refused-${run.id}` }, run.name, h('small', {}, ...prose(run.error ?? '')));
}

/** One beat and then rest: an endless animation would have the browser draw for ever. */
function pulse(dot: Element): void {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  dot.animate([{ boxShadow: '0 0 0 0 currentColor' }, { boxShadow: '0 0 0 6px transparent' }], {
    duration: 600,
    easing: 'ease-out',
  });
}

function describe(state: State, id: string): string {
  const run = state.runs[id];
  if (!run) return id;
  const { description, name } = run.info;
  const parameters = Number(description.parameters);
  const parts = [name, description.model ? String(description.model) : ''];
  if (Number.isFinite(parameters)) parts.push(`${parameters.toLocaleString('en-GB')} parameters`);
  return parts.filter(Boolean).join(' · ');
}
