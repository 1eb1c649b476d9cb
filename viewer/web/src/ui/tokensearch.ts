/** A field that finds recorded tokens by their text: arrows and Enter, or a click. */

import type { Match } from '../layout/tokens';
import { h } from './dom';
import { count } from './format';

const MOST_MATCHES = 40;

export interface TokenSearchActions {
  /** matches of a text, at most so many */
  find(query: string, most: number): Match[];
  /** a token with its white space shown */
  textOf(token: number): string;
  choose(match: Match): void;
}

export class TokenSearch {
  readonly element: HTMLElement;
  readonly input = h('input', {
    type: 'search',
    placeholder: 'Find a token',
    role: 'combobox',
    'aria-label': 'Find a token by its text or number',
    'aria-expanded': 'false',
    'aria-controls': 'token-matches',
    'aria-autocomplete': 'list',
    autocomplete: 'off',
    spellcheck: 'false',
    'data-test': 'token-search',
  });
  private readonly list = h('div', {
    class: 'token-matches',
    id: 'token-matches',
    role: 'listbox',
    'aria-label': 'Tokens found',
    'data-test': 'token-matches',
    hidden: true,
  });
  private readonly actions: TokenSearchActions;
  private matches: Match[] = [];
  private active = 0;

  constructor(actions: TokenSearchActions) {
    this.actions = actions;
    this.element = h('div', { class: 'token-search' }, this.input, this.list);
    this.input.addEventListener('input', () => this.find());
    this.input.addEventListener('focus', () => this.find());
    this.input.addEventListener('keydown', (event) => this.onKey(event));
    this.element.addEventListener('focusout', (event) => {
      if (!this.element.contains(event.relatedTarget as Node | null)) this.close();
    });
    this.list.addEventListener('pointerdown', (event) => event.preventDefault());
    this.list.addEventListener('click', (event) => {
      const option = (event.target as Element).closest('[data-at]');
      if (option) this.choose(Number(option.getAttribute('data-at')));
    });
  }

  focus(): void {
    this.input.focus();
    this.input.select();
  }

  /** The texts of tokens have come, or others: what was typed may find more. */
  retry(): void {
    if (!this.list.hidden && this.matches.length === 0) this.find();
  }

  private find(): void {
    const query = this.input.value;
    const found = query === '' ? [] : this.actions.find(query, MOST_MATCHES + 1);
    this.matches = found.slice(0, MOST_MATCHES);
    this.active = 0;
    const rows = this.matches.map(({ token }, at) =>
      h(
        'div',
        { class: 'row', role: 'option', id: `token-match-${at}`, 'data-at': at, 'data-test': `match-${token}` },
        h('span', { class: 'token-text' }, this.actions.textOf(token)),
        h('span', { class: 'row-shape' }, `#${token}`),
      ),
    );
    const more = found.length > MOST_MATCHES ? [h('p', { class: 'hint' }, `the first ${count(MOST_MATCHES)}`)] : [];
    const none = rows.length === 0 ? [h('p', { class: 'hint' }, 'No recorded token has that in its text.')] : [];
    this.list.replaceChildren(...rows, ...more, ...none);
    this.list.hidden = query === '';
    this.input.setAttribute('aria-expanded', String(!this.list.hidden));
    this.mark();
  }

  private onKey(event: KeyboardEvent): void {
    event.stopPropagation();
    const { key } = event;
    if (key === 'Escape') {
      if (this.list.hidden) this.input.blur();
      else this.close();
    } else if (key === 'ArrowDown' || key === 'ArrowUp') {
      if (this.list.hidden) this.find();
      else this.move(key === 'ArrowDown' ? 1 : -1);
    } else if (key === 'Enter') {
      this.choose(this.active);
    } else return;
    event.preventDefault();
  }

  private move(by: number): void {
    const { length } = this.matches;
    if (length === 0) return;
    this.active = (this.active + by + length) % length;
    this.mark();
  }

  private mark(): void {
    const options = this.list.querySelectorAll('.row');
    options.forEach((option, at) => {
      option.classList.toggle('chosen', at === this.active);
      option.setAttribute('aria-selected', String(at === this.active));
    });
    const active = options[this.active];
    if (active) {
      this.input.setAttribute('aria-activedescendant', active.id);
      active.scrollIntoView({ block: 'nearest' });
    } else this.input.removeAttribute('aria-activedescendant');
  }

  private choose(at: number): void {
    const match = this.matches[at];
    if (!match) return;
    this.close();
    this.input.select();
    this.actions.choose(match);
  }

  private close(): void {
    this.list.hidden = true;
    this.input.setAttribute('aria-expanded', 'false');
    this.input.removeAttribute('aria-activedescendant');
  }
}
