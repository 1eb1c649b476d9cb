/** Keys and gestures, in a dialog. */

import type { Store } from '../state/store';
import { button, h } from './dom';
import { PRESETS } from './pilot';

const KEYS: [string, string][] = [
  ['Space', 'play or pause'],
  ['← →', 'one snapshot back, on (with Shift: ten)'],
  ['Home, End', 'first, last snapshot'],
  ['− +', 'slower, faster'],
  ['L', 'follow the newest iteration'],
  ['M', 'Training loss or Model parameters'],
  ['/', 'find a token of the embedding'],
  ['V', 'what the matrices show'],
  ['S', 'the next kind of colour scale'],
  ['P', 'show or hide the list of tensors'],
  ['T', 'dark or light'],
  ['Esc', 'let go of the chosen tensor'],
];

const CAMERA: [string, string][] = [
  ['A D W X', 'turn left, right, up, down (with Shift: move)'],
  ['E, Q', 'nearer, farther'],
  ['Page down, up', 'fly to the next part of the model, to the one before'],
  ['J, K', 'fly to the next tensor, to the one before'],
  ['1 … 6', PRESETS.join(', ')],
  ['R', 'reset the view'],
  ['B', 'views: go to one, keep this one'],
];

const GESTURES: [string, string][] = [
  ['Drag, one finger', 'turn'],
  ['Right drag, Shift drag', 'move (or two fingers)'],
  ['Wheel, pinch', 'zoom toward the pointer, or the middle of the fingers'],
  ['Click', 'choose a tensor, or a token of the cloud'],
  ['Double click', 'fly to a tensor or layer'],
];

const COLOURS =
  'Zero is mid-grey, positive numbers go toward the colour of their part of the model, negative ones toward black. ' +
  'Heatmaps show recorded samples in their own order; from afar, cells in which any element stands out are lit. ' +
  'Around the chosen tensor, blue is what feeds it and amber what it feeds. The statistics are those of the whole tensor.';

export class Help {
  readonly element: HTMLDialogElement;

  constructor(store: Store) {
    const list = (rows: [string, string][]) =>
      h('dl', { class: 'keys' }, ...rows.flatMap(([key, text]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, text)]));
    this.element = h(
      'dialog',
      { class: 'help', 'aria-label': 'Keys and help', 'data-test': 'help-dialog' },
      h(
        'div',
        { class: 'help-columns' },
        h('div', {}, h('h2', {}, 'Keys'), list(KEYS), h('h2', {}, 'By hand'), list(GESTURES)),
        h('div', {}, h('h2', {}, 'In the model'), list(CAMERA), h('h2', {}, 'Colours'), h('p', {}, COLOURS)),
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
