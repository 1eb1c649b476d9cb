/** The panel of the embedding cloud: search, colours, chosen tokens, their neighbours, and who changed most. */

import type { Neighbours, Suggestions } from '../data/cloud';
import { toCss, type Rgb } from '../layout/colour';
import type { Answer } from '../state/answers';
import { COLOURINGS, type Colouring } from '../state/cloudchoice';
import { button, h, icon, ICONS, setText } from './dom';
import { count, percent } from './format';
import { TokenSearch, type TokenSearchActions } from './tokensearch';

const COLOUR_WORDS: Record<Colouring, string> = {
  magnitude: 'norm',
  'moved-start': 'change since the start',
  'moved-last': 'change since the snapshot before',
  class: 'kind of token',
  cluster: 'cluster',
};
const PROJECTION_WORDS: Record<string, string> = { pca: 'PCA', tsne: 't-SNE', umap: 'UMAP' };

export function projectionText(name: string): string {
  return PROJECTION_WORDS[name] ?? name;
}

const SOURCES: Record<Neighbours['source'], string> = {
  recorded: 'exact, full width',
  rows: 'exact, full width',
  sketch: 'from a sketch',
};
const MOST_SUGGESTED = 12;

export interface ChosenToken {
  token: number;
  text: string;
  colour: Rgb;
  isFocus: boolean;
  /** among the drawn points */
  isShown: boolean;
}

export interface CloudPanelFacts {
  recorded: number;
  vocabulary: number;
  colouring: Colouring;
  /** why a choice cannot be made, by choice */
  closed: Partial<Record<Colouring, string>>;
  projection: string;
  projections: readonly string[];
  chosen: readonly ChosenToken[];
  neighbours: Answer<Neighbours> | null;
  suggestions: Answer<Suggestions> | null;
}

export interface CloudPanelActions extends TokenSearchActions {
  colour(colouring: Colouring): void;
  project(name: string): void;
  /** chooses a token and flies to it */
  goTo(token: number): void;
  /** makes a chosen token the one whose neighbours are told */
  focusOn(token: number): void;
  letGo(token: number): void;
  close(): void;
}

export class CloudPanel {
  readonly element: HTMLElement;
  readonly search: TokenSearch;
  private readonly actions: CloudPanelActions;
  private readonly summary = h('p', { class: 'facts', 'data-test': 'cloud-summary' });
  private readonly colours = h('select', { 'aria-label': 'Colour the points by', 'data-test': 'cloud-colour' });
  private readonly pictures = h('select', { 'aria-label': 'Picture of the embedding', 'data-test': 'cloud-projection' });
  private readonly reason = h('p', { class: 'hint', 'data-test': 'cloud-reason' });
  private readonly chosen = h('div', { class: 'chosen-tokens', 'data-test': 'chosen-tokens' });
  private readonly near = h('section', { class: 'near-tokens', 'aria-label': 'Nearest neighbours', 'data-test': 'neighbours' });
  private readonly changed = h('section', { 'aria-label': 'Changed most', 'data-test': 'suggestions' });
  private readonly shown = new Map<HTMLElement, string>();

  constructor(actions: CloudPanelActions) {
    this.actions = actions;
    this.search = new TokenSearch(actions);
    const close = button('close-cloud', 'Close', icon(ICONS.close), () => actions.close());
    close.classList.add('round', 'small');
    this.colours.addEventListener('change', () => actions.colour(this.colours.value as Colouring));
    this.pictures.addEventListener('change', () => actions.project(this.pictures.value));
    this.element = h(
      'aside',
      { class: 'details cloud-panel', 'aria-label': 'Token embeddings', hidden: true, 'data-test': 'cloud-panel' },
      h('div', { class: 'panel-head' }, h('h2', {}, 'Tokens'), close),
      this.search.element,
      this.summary,
      h(
        'div',
        { class: 'cloud-choices' },
        h('label', {}, h('span', { class: 'dim' }, 'colour'), this.colours),
        h('label', {}, h('span', { class: 'dim' }, 'picture'), this.pictures),
      ),
      this.reason,
      this.chosen,
      this.near,
      this.changed,
    );
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      actions.close();
    });
  }

  show(facts: CloudPanelFacts): void {
    const { recorded, vocabulary, colouring, closed, projection, projections } = facts;
    const all = recorded === vocabulary ? 'the whole vocabulary' : `${percent(recorded / vocabulary)} of ${count(vocabulary)}`;
    setText(this.summary, `${count(recorded)} recorded, ${all}`);
    this.fill(this.colours, `${JSON.stringify(closed)}`, () =>
      COLOURINGS.map((value) => {
        const why = closed[value];
        return h('option', { value, disabled: why !== undefined, title: why }, COLOUR_WORDS[value]);
      }),
    );
    this.colours.value = colouring;
    this.fill(this.pictures, projections.join(), () =>
      projections.map((name) => h('option', { value: name }, projectionText(name))),
    );
    this.pictures.value = projection;
    this.pictures.disabled = projections.length < 2;
    this.pictures.title = projections.length < 2 ? 'No other picture has been computed of this run' : '';
    const why = Object.entries(closed).map(([value, text]) => `${COLOUR_WORDS[value as Colouring]}: ${text}`);
    setText(this.reason, why.join(' · '));
    this.reason.hidden = why.length === 0;
    this.fill(this.chosen, JSON.stringify(facts.chosen), () => facts.chosen.map((one) => this.chip(one)));
    this.chosen.hidden = facts.chosen.length === 0;
    this.showNeighbours(facts);
    this.showSuggestions(facts.suggestions);
  }

  private chip({ token, text, colour, isFocus, isShown }: ChosenToken): HTMLElement {
    const dot = h('span', { class: 'hue', 'aria-hidden': 'true' });
    dot.style.background = toCss(colour);
    const name = h(
      'button',
      { type: 'button', class: 'token-text', 'aria-pressed': String(isFocus), title: isShown ? text : `${text} is not drawn` },
      text,
    );
    name.addEventListener('click', () => this.actions.focusOn(token));
    const away = button(`drop-${token}`, `Let go of ${text}`, icon(ICONS.close), () => this.actions.letGo(token));
    away.classList.add('round', 'small');
    return h('span', { class: 'token-chip', 'data-test': `chosen-${token}` }, dot, name, away);
  }

  private showNeighbours({ neighbours, chosen }: CloudPanelFacts): void {
    const focus = chosen.find(({ isFocus }) => isFocus);
    this.near.hidden = !neighbours || !focus;
    if (!neighbours || !focus) return;
    const { value, failure } = neighbours;
    this.fill(this.near, JSON.stringify([focus.token, value, failure]), () => {
      const head = h('h3', {}, 'Nearest to ', h('span', { class: 'token-text' }, focus.text));
      if (failure !== null) return [head, h('p', { class: 'hint' }, failure)];
      if (!value) return [head, h('p', { class: 'hint' }, 'on its way')];
      const source = `${SOURCES[value.source]}, iteration ${count(value.iteration)}`;
      const rows = value.tokens.map((token, at) => this.nearRow(token, value.distances[at]!));
      return [head, h('p', { class: 'dim', 'data-test': 'neighbour-source' }, source), h('ol', {}, ...rows)];
    });
  }

  private nearRow(token: number, distance: number): HTMLElement {
    const text = this.actions.textOf(token);
    const name = h('button', { type: 'button', class: 'row', title: `Choose ${text}` });
    name.append(h('span', { class: 'token-text' }, text), h('span', { class: 'row-shape' }, Number.isNaN(distance) ? '–' : distance.toPrecision(3)));
    name.addEventListener('click', () => this.actions.goTo(token));
    return h('li', { 'data-test': `neighbour-${token}` }, name);
  }

  private showSuggestions(answer: Answer<Suggestions> | null): void {
    const value = answer?.value;
    this.changed.hidden = !value || value.from === null;
    if (!value || value.from === null || value.to === null) return;
    const { from, to, tokens, changes, compared } = value;
    this.fill(this.changed, JSON.stringify(value), () => [
      h('h3', {}, 'Changed most'),
      h('p', { class: 'dim' }, `of ${count(compared)} neighbourhoods, iteration ${count(from)} to ${count(to)}`),
      tokens.length === 0
        ? h('p', { class: 'hint' }, 'None has other neighbours than before.')
        : h('div', { class: 'suggested' }, ...tokens.slice(0, MOST_SUGGESTED).map((token, at) => this.suggestion(token, changes[at]!))),
    ]);
  }

  private suggestion(token: number, change: number): HTMLElement {
    const text = this.actions.textOf(token);
    const label = `${text}: ${percent(change)} of its neighbourhood changed`;
    const chip = button(`suggested-${token}`, label, text, () => this.actions.goTo(token));
    chip.classList.add('token-text', 'quiet');
    return chip;
  }

  /** Makes the children anew only where what they say has changed, so that nothing loses the focus. */
  private fill(element: HTMLElement, key: string, make: () => HTMLElement[]): void {
    if (this.shown.get(element) === key) return;
    this.shown.set(element, key);
    element.replaceChildren(...make());
  }
}
