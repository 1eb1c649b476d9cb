/** A button, and choices that open over it: closed by the button, Escape, or a press anywhere else. */

import { button, h } from './dom';

export interface PopoverOptions {
  /** class of the whole; `NAME-menu` is the menu's id, `NAME-open` the button's test name */
  name: string;
  /** what the button says to those who do not see it */
  label: string;
  text: string;
  /** after it has opened: the place for the focus */
  opened(): void;
}

export class Popover {
  readonly element: HTMLElement;
  readonly opener: HTMLButtonElement;
  private readonly menu: HTMLElement;
  private readonly opened: () => void;

  constructor(menuLabel: string, choices: readonly Node[], { name, label, text, opened }: PopoverOptions) {
    this.opened = opened;
    const id = `${name}-menu`;
    this.menu = h('div', { class: id, id, 'data-test': id, hidden: true, role: 'group', 'aria-label': menuLabel }, ...choices);
    this.opener = button(`${name}-open`, label, text, () => this.toggle(), { 'aria-expanded': 'false', 'aria-controls': id });
    this.element = h('div', { class: name }, this.menu, this.opener);
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.menu.hidden) return;
      event.stopPropagation();
      this.toggle();
      this.opener.focus();
    });
    document.addEventListener('pointerdown', (event) => {
      if (!this.menu.hidden && !this.element.contains(event.target as Node)) this.toggle();
    });
  }

  toggle(): void {
    this.menu.hidden = !this.menu.hidden;
    this.opener.setAttribute('aria-expanded', String(!this.menu.hidden));
    if (!this.menu.hidden) this.opened();
  }
}
