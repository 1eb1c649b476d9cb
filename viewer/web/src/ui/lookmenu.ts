/** How the matrices are looked at: a button, and the choices behind it. */

import { COLOUR_BY, MOST_SNAPSHOTS_BACK, SCALE_MODES, SORTS, SOURCES, type Look } from '../state/look';
import type { State } from '../state/model';
import type { Store } from '../state/store';
import { h, setText } from './dom';
import { COLOUR_NAMES, SCALE_NAMES, SORT_NAMES, SOURCE_NAMES } from './looktext';
import { Popover } from './popover';

type Choice = 'colourBy' | 'source' | 'sort' | 'scale';

const TESTS: Record<Choice, string> = { colourBy: 'colour-by', source: 'source', sort: 'sort', scale: 'scale-mode' };

export class LookMenu {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly popover: Popover;
  private readonly choices: Record<Choice, HTMLSelectElement>;
  private readonly back = h('input', {
    type: 'number',
    min: 1,
    max: MOST_SNAPSHOTS_BACK,
    'data-test': 'snapshots-back',
    'aria-label': 'How many snapshots ago',
  });
  private readonly backRow: HTMLElement;
  private readonly interpolate = h('input', { type: 'checkbox', 'data-test': 'interpolate' });

  constructor(store: Store) {
    this.store = store;
    this.choices = {
      colourBy: this.select('colourBy', COLOUR_BY, COLOUR_NAMES),
      source: this.select('source', SOURCES, SOURCE_NAMES),
      sort: this.select('sort', SORTS, SORT_NAMES),
      scale: this.select('scale', SCALE_MODES, SCALE_NAMES),
    };
    this.back.addEventListener('change', () => this.wish({ snapshotsBack: Number(this.back.value) }));
    this.interpolate.addEventListener('change', () => this.wish({ interpolate: this.interpolate.checked }));
    this.backRow = row('snapshots ago', this.back);
    this.popover = new Popover(
      'What the matrices show',
      [
        row('colour', this.choices.colourBy),
        this.backRow,
        row('scale', this.choices.scale),
        row('show', this.choices.source),
        row('order', this.choices.sort),
        h('label', { class: 'look-check' }, this.interpolate, 'interpolate while playing'),
      ],
      { name: 'look', label: 'What the matrices show (key V)', text: '', opened: () => this.choices.colourBy.focus() },
    );
    this.popover.opener.setAttribute('aria-haspopup', 'true');
    this.element = this.popover.element;
    store.subscribe((state, previous) => {
      if (state.look !== previous.look || state.selected !== previous.selected) this.show(state);
    });
    this.show(store.state);
  }

  toggle(): void {
    this.popover.toggle();
  }

  private show({ look, selected }: State): void {
    for (const name of Object.keys(this.choices) as Choice[]) this.choices[name].value = look[name];
    this.back.value = String(look.snapshotsBack);
    this.backRow.hidden = look.colourBy !== 'since_k';
    this.interpolate.checked = look.interpolate;
    for (const option of this.choices.colourBy.options) {
      option.disabled = option.value === 'other_run' && selected.length < 2;
    }
    const ago = look.colourBy === 'since_k' ? `change since ${look.snapshotsBack} snapshots ago` : COLOUR_NAMES[look.colourBy];
    setText(this.popover.opener, `colour: ${ago}`);
  }

  private select<N extends Choice>(name: N, values: readonly Look[N][], names: Record<Look[N], string>): HTMLSelectElement {
    const select = h('select', { 'data-test': TESTS[name] }, ...values.map((value) => h('option', { value }, names[value])));
    select.addEventListener('change', () => this.wish({ [name]: select.value as Look[N] }));
    return select;
  }

  private wish(look: Partial<Look>): void {
    this.store.dispatch({ type: 'look', look });
    // A wish that was changed or refused shows what holds.
    this.show(this.store.state);
  }
}

function row(text: string, control: HTMLElement): HTMLElement {
  return h('label', { class: 'look-row' }, h('span', { class: 'dim' }, text), control);
}
