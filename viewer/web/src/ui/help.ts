/** Keys and gestures, in a dialog. */

import type { Store } from '../state/store';
import { button, h } from './dom';

const KEYS: [string, string][] = [
  ['Space', 'play or pause'],
  ['← →', 'one snapshot back, on (with Shift: ten)'],
  ['Home, End', 'first, last snapshot'],
  ['− +', 'slower, faster'],
  ['L', 'follow the newest iteration'],
  ['1, 2', 'Training loss, Model parameters'],
  ['R', 'reset the view'],
  ['/', 'find a token of the embedding'],
  ['V', 'what the matrices show'],
  ['S', 'the next kind of colour scale'],
  ['P', 'show or hide the list of tensors'],
  ['T', 'dark or light'],
  ['Esc', 'let go of the chosen tensor'],
];

const GESTURES: [string, string][] = [
  ['Drag', 'turn'],
  ['Right drag, Shift drag', 'move'],
  ['Wheel, pinch', 'zoom toward the pointer'],
  ['Click', 'choose a tensor, or a token of the cloud'],
  ['Double click', 'fly to a tensor or layer'],
];

export class Help {
  readonly element: HTMLDialogElement;

  constructor(store: Store) {
    const list = (rows: [string, string][]) =>
      h('dl', { class: 'keys' }, ...rows.flatMap(([key, text]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, text)]));
    this.element = h(
      'dialog',
      { class: 'help', 'aria-label': 'Keys and help', 'data-test': 'help-dialog' },
      h('h2', {}, 'Keys'),
      list(KEYS),
      h('h2', {}, 'In the model'),
      list(GESTURES),
      h('h2', {}, 'Colours'),
      h(
        'p',
        {},
        'Zero is mid-grey, positive numbers go toward the colour of their part of the model, negative ones ' +
          'toward black. Heatmaps show recorded samples in their own order; from afar, cells in which any ' +
          'element stands out are lit. The statistics are those of the whole tensor.',
      ),
      button('close-help', 'Close', 'Close', () => store.dispatch({ type: 'help', open: false }), { class: 'quiet' }),
    );
    this.element.addEventListener('close', () => store.dispatch({ type: 'help', open: false }));
    this.element.addEventListener('click', (event) => {
      if (event.target === this.element) this.element.close();
    });
    store.subscribe((state) => {
      if (state.helpOpen && !this.element.open) this.element.showModal();
      if (!state.helpOpen && this.element.open) this.element.close();
    });
  }
}
