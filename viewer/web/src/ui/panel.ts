/** The side panel: the model as a list, part by part; a click flies there. */

import type { Plan, TensorInfo } from '../data/types';
import { blockHue, toCss } from '../layout/colour';
import { sectionTitle } from '../layout/generic';
import { isTransformer } from '../layout/parts';
import type { State } from '../state/model';
import type { Store } from '../state/store';
import { button, h, icon, ICONS, setText } from './dom';
import { count, shape } from './format';

export interface PanelActions {
  flyToTensor(run: string, tensor: number): void;
  flyToPart(run: string, tensors: readonly number[]): void;
}

interface Part {
  title: string;
  tensors: TensorInfo[];
}

const BLOCK_TITLES: Record<string, string> = {
  embedding: 'embeddings',
  norm: 'final norm',
  head: 'head',
};

/** Parts shown at once; the rest appears when it is filtered for. */
const MOST_MATCHES = 300;

export class Panel {
  readonly element: HTMLElement;
  private readonly store: Store;
  private readonly actions: PanelActions;
  private readonly list = h('div', { class: 'parts', 'data-test': 'tensor-list' });
  private readonly summary = h('p', { class: 'panel-summary' });
  private readonly filter = h('input', {
    type: 'search',
    placeholder: 'Filter by name',
    'aria-label': 'Filter tensors by name',
    'data-test': 'tensor-filter',
  });
  private plan: Plan | null = null;
  private run = '';

  constructor(store: Store, actions: PanelActions) {
    this.store = store;
    this.actions = actions;
    const fold = button('fold-panel', 'Hide the list', icon(ICONS.close), () =>
      store.dispatch({ type: 'panel', open: false }),
    );
    fold.classList.add('round', 'small');
    this.filter.addEventListener('input', () => this.fill());
    this.filter.addEventListener('keydown', (event) => {
      event.stopPropagation();
      if (event.key === 'Escape') this.filter.blur();
    });
    this.element = h(
      'aside',
      { class: 'panel', 'aria-label': 'Parts of the model', 'data-test': 'panel' },
      h('div', { class: 'panel-head' }, h('h2', {}, 'Model'), fold),
      this.summary,
      this.filter,
      this.list,
    );
    this.element.hidden = !store.state.panelOpen;
    store.subscribe((state, previous) => {
      this.element.hidden = !state.panelOpen;
      if (state.selection !== previous.selection) this.mark(state);
    });
  }

  /** The list of this run's newest plan. */
  show(run: string, plan: Plan): void {
    if (this.plan === plan) return;
    this.plan = plan;
    this.run = run;
    const parameters = plan.tensors
      .filter((tensor) => tensor.tied_to === null)
      .reduce((sum, tensor) => sum + tensor.shape.reduce((product, extent) => product * extent, 1), 0);
    setText(this.summary, `${count(plan.tensors.length)} tensors · ${count(parameters)} parameters`);
    this.fill();
  }

  private fill(): void {
    if (!this.plan) return;
    const wish = this.filter.value.trim().toLowerCase();
    if (wish) {
      const found = this.plan.tensors.filter((tensor) => tensor.name.toLowerCase().includes(wish));
      const rows = found.slice(0, MOST_MATCHES).map((tensor) => this.row(tensor, tensor.name));
      const rest = found.length - rows.length;
      this.list.replaceChildren(
        ...rows,
        ...(rest > 0 ? [h('p', { class: 'hint' }, `and ${count(rest)} more`)] : []),
        ...(found.length === 0 ? [h('p', { class: 'hint' }, 'No tensor has that in its name.')] : []),
      );
    } else {
      this.list.replaceChildren(...partsOf(this.plan).map((part, index) => this.part(part, index === 0)));
    }
    this.mark(this.store.state);
  }

  /** A part's rows are made when it is first opened: a model may have 20,000. */
  private part(part: Part, open: boolean): HTMLElement {
    const rows = h('div', { class: 'rows' });
    const prefix = commonPrefix(part.tensors.map((tensor) => tensor.name));
    const fly = button(`fly-${part.title.replace(/\s+/g, '-')}`, `Fly to ${part.title}`, icon(ICONS.home), () =>
      this.actions.flyToPart(this.run, part.tensors.map((tensor) => tensor.index)),
    );
    fly.classList.add('round', 'small');
    fly.addEventListener('click', (event) => event.preventDefault());
    const details = h(
      'details',
      { open, class: 'part' },
      h('summary', {}, h('span', {}, part.title), h('span', { class: 'dim' }, String(part.tensors.length)), fly),
      rows,
    );
    const fillRows = () => {
      if (!details.open || rows.childElementCount > 0) return;
      rows.replaceChildren(...part.tensors.map((tensor) => this.row(tensor, tensor.name.slice(prefix.length))));
      this.mark(this.store.state);
    };
    details.addEventListener('toggle', fillRows);
    fillRows();
    return details;
  }

  private row(tensor: TensorInfo, name: string): HTMLElement {
    const dot = h('span', { class: 'hue', 'aria-hidden': 'true' });
    dot.style.background = toCss(blockHue(tensor.block));
    const row = h(
      'button',
      { type: 'button', class: 'row', title: tensor.name, 'data-tensor': tensor.index, 'data-test': `tensor-${tensor.index}` },
      dot,
      h('span', { class: 'row-name' }, name),
      h('span', { class: 'row-shape' }, tensor.tied_to ? 'tied' : shape(tensor.shape)),
    );
    row.addEventListener('click', () => this.actions.flyToTensor(this.run, tensor.index));
    return row;
  }

  private mark(state: State): void {
    const chosen = state.selection?.run === this.run ? String(state.selection.tensor) : '';
    for (const row of this.list.querySelectorAll('.row')) {
      const isChosen = row.getAttribute('data-tensor') === chosen;
      row.classList.toggle('chosen', isChosen);
      if (isChosen) row.setAttribute('aria-current', 'true');
      else row.removeAttribute('aria-current');
    }
  }
}

/** Layers in order, with what comes before and after them; for other models their modules. */
export function partsOf(plan: Plan): Part[] {
  const parts = new Map<string, Part>();
  const isKnown = isTransformer(plan.tensors);
  const titleOf = (tensor: TensorInfo) => {
    if (!isKnown) return sectionTitle(tensor.name);
    return tensor.layer !== null ? `layer ${tensor.layer}` : (BLOCK_TITLES[tensor.block] ?? sectionTitle(tensor.name));
  };
  for (const tensor of plan.tensors) {
    const title = titleOf(tensor);
    const part = parts.get(title) ?? { title, tensors: [] };
    part.tensors.push(tensor);
    parts.set(title, part);
  }
  return [...parts.values()];
}

/** The dotted beginning that all names share. */
export function commonPrefix(names: readonly string[]): string {
  if (names.length < 2) return '';
  const parts = names.map((name) => name.split('.'));
  let shared = 0;
  while (parts.every((part) => part.length > shared + 1 && part[shared] === parts[0]![shared])) shared += 1;
  return shared > 0 ? `${parts[0]!.slice(0, shared).join('.')}.` : '';
}
