/**
 * What the colours of the scene mean: one line at rest, and behind it in full sentences, with what is
 * known of the embedding cloud.
 */

import type { Block, Plan, TensorInfo } from '../data/types';
import {
  blockHue,
  EXTREME_WHITE,
  mix,
  NAN_COLOUR,
  NEGATIVE_INFINITY_COLOUR,
  POSITIVE_INFINITY_COLOUR,
  RAMPS,
  toCss,
  valueColour,
  type Rgb,
} from '../layout/colour';
import type { View } from '../render/view';
import type { Theme } from '../state/model';
import { h, setText } from './dom';
import { count, number } from './format';
import { colouredText, scaleEnd, scaleText, shortSource, sortText, sourceText } from './looktext';

const BAR_STEPS = 17;

export interface LegendFacts {
  view: View;
  theme: Theme;
  /** the chosen one, whose hue and scale are shown then */
  tensor: TensorInfo | null;
  nameOf: (run: string) => string;
}

export class Legend {
  readonly element: HTMLElement;
  private readonly strip: HTMLButtonElement;
  private readonly more: HTMLElement;
  private readonly title = h('span', { class: 'legend-title', 'data-test': 'legend-coloured' });
  private readonly source = h('span', { 'data-test': 'legend-source' });
  private readonly sort = h('span', { 'data-test': 'legend-sort' });
  private readonly blocks = h('span', { class: 'legend-inline' });
  private readonly bar = h('span', { class: 'legend-bar' });
  private readonly low = h('span', {});
  private readonly high = h('span', { 'data-test': 'legend-end' });
  private readonly odd = h('span', { class: 'legend-inline' });
  private readonly fullTitle = h('div', { class: 'legend-title' });
  private readonly fullSource = h('div', { 'data-test': 'legend-source-full' });
  private readonly fullScale = h('div', { 'data-test': 'legend-scale-full' });
  private readonly extreme = h('div', {});
  private plan: Plan | null = null;

  /** `cloud`: what is said of the embedding cloud, above the rest. */
  constructor(cloud: HTMLElement) {
    this.more = h(
      'div',
      { class: 'legend-more', id: 'legend-more', 'data-test': 'legend-more' },
      cloud,
      this.fullTitle,
      this.fullScale,
      this.fullSource,
      this.extreme,
    );
    this.strip = h(
      'button',
      {
        ...{ type: 'button', class: 'legend-strip', 'data-test': 'legend-open' },
        ...{ 'aria-expanded': 'false', 'aria-controls': 'legend-more', title: 'What is shown, in full' },
      },
      h(
        'span',
        { class: 'legend-line' },
        ...[this.title, h('span', { class: 'legend-scale' }, this.low, this.bar, this.high), this.source, this.sort],
      ),
      h('span', { class: 'legend-line' }, this.blocks, this.odd),
    );
    this.element = h('div', { class: 'legend', 'data-test': 'legend' }, this.more, this.strip);
    this.strip.addEventListener('click', () => this.open(!this.isOpen));
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.isOpen) return;
      event.stopPropagation();
      this.open(false);
    });
  }

  private get isOpen(): boolean {
    return this.element.classList.contains('open');
  }

  private open(isOpen: boolean): void {
    this.element.classList.toggle('open', isOpen);
    this.strip.setAttribute('aria-expanded', String(isOpen));
  }

  show(facts: LegendFacts): void {
    const { view, tensor, nameOf } = facts;
    const { served, plan } = view;
    if (plan !== this.plan) this.showBlocks(plan);
    this.showScale(facts);
    const title = served ? colouredText(served, nameOf) : 'no snapshot';
    setText(this.title, title);
    setText(this.source, served ? shortSource(served, plan, tensor) : '');
    setText(this.sort, served ? sortText(served) : '');
    const isPlain = served?.look.colourBy === 'value' && served.picture.second === null;
    setText(this.fullTitle, isPlain ? `${title} of iteration ${count(served.picture.iteration)}` : title);
    setText(this.fullScale, served ? scaleText(served) : '');
    setText(this.fullSource, served ? sourceText(served, plan, tensor) : '');
    this.showOdd(facts);
  }

  private showBlocks(plan: Plan): void {
    this.plan = plan;
    const blocks = blocksOf(plan);
    this.blocks.replaceChildren(...blocks.map((block) => chip(blockHue(block), block)));
  }

  private showScale({ view, theme, tensor }: LegendFacts): void {
    const { plan, served, look } = view;
    const rule = served?.look.scale ?? 'tensor';
    const plate = tensor ? view.plateOf(tensor.index) : rule === 'shared' ? 0 : -1;
    const end = look?.plates[plate] ? number(look.plates[plate].value) : (served ? scaleEnd(served) : '');
    const isUnsigned = served?.look.source === 'cells_absmax';
    setText(this.low, isUnsigned ? '0' : `−${end}`);
    setText(this.high, end);
    const blocks = blocksOf(plan);
    const shown = tensor?.block ?? (blocks.includes('attention') ? 'attention' : (blocks[0] ?? 'other'));
    const key = `${theme} ${shown} ${isUnsigned}`;
    if (this.bar.dataset.look === key) return;
    this.bar.dataset.look = key;
    const hue = blockHue(shown);
    const stops = Array.from({ length: BAR_STEPS }, (_, step) => {
      const share = step / (BAR_STEPS - 1);
      return toCss(valueColour(isUnsigned ? share : 2 * share - 1, 1, hue, RAMPS[theme]));
    });
    this.bar.style.background = `linear-gradient(to right, ${stops.join(', ')})`;
  }

  /** Colours of what is no common number are told only where there is any. */
  private showOdd({ view, tensor }: LegendFacts): void {
    const { frame, plan, served, look } = view;
    const statistics = served?.statistics ?? [];
    const total = (key: string) => {
      const column = statistics.indexOf(key);
      if (column < 0 || !frame?.statistics) return 0;
      let sum = 0;
      for (let row = 0; row < plan.tensors.length; row += 1) {
        const value = frame.statistics[row * statistics.length + column]!;
        sum += Number.isFinite(value) ? value : 0;
      }
      return sum;
    };
    const chips: HTMLElement[] = [];
    const nan = total('n_nan');
    const inf = total('n_inf') + total('n_overflow');
    if (nan > 0) chips.push(chip(NAN_COLOUR, `NaN (${count(nan)})`));
    if (inf > 0) {
      chips.push(chip(POSITIVE_INFINITY_COLOUR, `inf (${count(inf)})`), chip(NEGATIVE_INFINITY_COLOUR, '−inf'));
    }
    const hasExtremes = look?.hasCells === true && look.source === 'auto';
    const hue = blockHue(tensor?.block ?? blocksOf(plan)[0] ?? 'other');
    const extreme = chip(mix(hue, [1, 1, 1], EXTREME_WHITE), 'extreme: far beyond nearly all cells of its tensor');
    this.extreme.replaceChildren(...(hasExtremes ? [extreme] : []));
    if (look?.plates.some(({ moved }) => moved)) chips.push(hatched('less than float16 resolves'));
    const isMissing = view.layout.boxes.some(
      ({ ghost }, index) => !ghost && look?.plates[index]?.missing,
    );
    if (isMissing) chips.push(hatched('not recorded'));
    this.odd.replaceChildren(...chips);
  }
}

function blocksOf(plan: Plan): Block[] {
  return [...new Set(plan.tensors.filter((tensor) => tensor.samples > 0).map((tensor) => tensor.block))];
}

function hatched(text: string): HTMLElement {
  return h('span', { class: 'legend-chip' }, h('span', { class: 'hue hatched', 'aria-hidden': 'true' }), text);
}

function chip(colour: Rgb, text: string): HTMLElement {
  const swatch = h('span', { class: 'hue', 'aria-hidden': 'true' });
  swatch.style.background = toCss(colour);
  return h('span', { class: 'legend-chip' }, swatch, text);
}
