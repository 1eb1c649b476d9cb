/** Where one can look from: the views that every model has, and those that somebody kept of this run. */

import { Bookmarks, type Bookmark } from '../state/bookmarks';
import type { State } from '../state/model';
import type { Store } from '../state/store';
import { button, h, icon, ICONS, setText } from './dom';
import { PRESETS, type Preset } from './pilot';
import { Popover } from './popover';

export interface ViewsActions {
  goToPreset(preset: Preset): void;
  hasPreset(preset: Preset): boolean;
  /** What is looked at now, with a name for it. */
  current(): Bookmark;
  goTo(bookmark: Bookmark): void;
}

export class ViewsMenu {
  readonly element: HTMLElement;
  private readonly actions: ViewsActions;
  private readonly popover: Popover;
  private readonly presets: Map<Preset, HTMLButtonElement>;
  private readonly list = h('div', { class: 'kept-views', 'data-test': 'bookmarks' });
  private readonly hint = h('p', { class: 'hint' });
  private readonly name = h('input', {
    type: 'text',
    maxlength: 60,
    'data-test': 'bookmark-name',
    'aria-label': 'A name for this view',
  });
  private bookmarks: Bookmarks | null = null;
  private runId = '';

  constructor(store: Store, actions: ViewsActions) {
    this.actions = actions;
    this.presets = new Map(PRESETS.map((preset, index) => [preset, this.presetButton(preset, index + 1)]));
    const keep = button('bookmark-add', 'Keep this view under that name', 'Keep', () => this.add(), { class: 'quiet' });
    this.name.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') this.add();
    });
    this.popover = new Popover(
      'Views',
      [
        h('div', { class: 'preset-views' }, ...this.presets.values()),
        h('h3', {}, 'Kept views of this run'),
        this.list,
        h('div', { class: 'keep-view' }, this.name, keep),
        this.hint,
      ],
      { name: 'views', label: 'Views and bookmarks (key B)', text: 'views', opened: () => this.opened() },
    );
    this.element = this.popover.element;
    store.subscribe((state) => this.follow(state));
  }

  toggle(): void {
    this.popover.toggle();
  }

  /** The field for a name has the focus, so that one key and Enter keep a view. */
  private opened(): void {
    for (const [preset, choice] of this.presets) choice.disabled = !this.actions.hasPreset(preset);
    this.bookmarks?.reload();
    this.show();
    this.name.value = this.actions.current().name;
    this.name.focus();
    this.name.select();
  }

  private follow({ selected, runs }: State): void {
    const runId = selected[0] === undefined ? '' : (runs[selected[0]]?.info.run_id ?? '');
    if (runId === this.runId) return;
    this.runId = runId;
    this.bookmarks = runId ? new Bookmarks(runId, () => localStorage) : null;
    this.show();
  }

  private add(): void {
    if (!this.bookmarks || this.name.value.trim() === '') return;
    const isAdded = this.bookmarks.add({ ...this.actions.current(), name: this.name.value });
    this.show();
    if (!isAdded) setText(this.hint, 'That is as many as are kept of a run. Delete one first.');
    this.name.select();
  }

  private show(): void {
    const all = this.bookmarks?.all ?? [];
    this.list.replaceChildren(...all.map((bookmark, index) => this.row(bookmark, index)));
    if (all.length === 0) this.list.append(h('p', { class: 'hint' }, 'None yet. Give this view a name to keep it.'));
    setText(this.hint, this.bookmarks?.isKept === false ? 'This browser keeps nothing: they last as long as this page.' : '');
  }

  private row(bookmark: Bookmark, index: number): HTMLElement {
    const go = button(`bookmark-${index}`, `Go to ${bookmark.name}`, bookmark.name, () => this.actions.goTo(bookmark));
    const remove = button(`bookmark-delete-${index}`, `Delete ${bookmark.name}`, icon(ICONS.close), () => {
      this.bookmarks?.remove(bookmark.name);
      this.show();
      this.name.focus();
    });
    remove.classList.add('round', 'small');
    return h('div', { class: 'kept-view' }, go, remove);
  }

  private presetButton(preset: Preset, number: number): HTMLButtonElement {
    const content = h('span', {}, preset);
    const choice = button(`preset-${number}`, `${preset} (key ${number})`, content, () => this.actions.goToPreset(preset));
    choice.append(h('kbd', {}, String(number)));
    return choice;
  }
}
