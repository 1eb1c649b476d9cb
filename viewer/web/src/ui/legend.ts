/** What the colours of the scene mean: hues of blocks, the scale of values, the cloud's magnitudes. */

import type { Block, Frame, Plan } from '../data/types';
import {
  blockHue,
  MAGNITUDE_STOPS,
  NAN_COLOUR,
  NEGATIVE_INFINITY_COLOUR,
  POSITIVE_INFINITY_COLOUR,
  RAMPS,
  toCss,
  valueColour,
  type Rgb,
} from '../layout/colour';
import type { CloudFacts } from '../render/cloud';
import type { Theme } from '../state/model';
import { h, setText } from './dom';
import { count, number, percent } from './format';

const BAR_STEPS = 17;

export interface LegendFacts {
  plan: Plan;
  frame: Frame | null;
  statistics: readonly string[];
  theme: Theme;
  /** of the chosen tensor, whose hue the scale then has */
  block: Block | null;
  /** what the ends of the scale stand for; null where each tensor has its own */
  scale: number | null;
  cloud: CloudFacts | null;
}

export class Legend {
  readonly element: HTMLElement;
  private readonly blocks = h('div', { class: 'legend-blocks' });
  private readonly bar = h('div', { class: 'legend-bar' });
  private readonly low = h('span', {});
  private readonly high = h('span', {});
  private readonly odd = h('div', { class: 'legend-blocks' });
  private readonly cloud = h('div', { class: 'legend-cloud', 'data-test': 'cloud-legend' });
  private plan: Plan | null = null;

  constructor() {
    this.element = h(
      'div',
      { class: 'legend', 'data-test': 'legend' },
      this.cloud,
      h('div', { class: 'legend-scale' }, this.low, this.bar, this.high),
      this.blocks,
      this.odd,
    );
  }

  show(facts: LegendFacts): void {
    if (facts.plan !== this.plan) this.showBlocks(facts.plan);
    this.showScale(facts);
    setText(this.low, facts.scale === null ? '−3 rms' : `−${number(facts.scale)}`);
    setText(this.high, facts.scale === null ? '+3 rms' : number(facts.scale));
    this.showOdd(facts);
    this.showCloud(facts);
  }

  private showBlocks(plan: Plan): void {
    this.plan = plan;
    const blocks = blocksOf(plan);
    this.blocks.replaceChildren(...blocks.map((block) => chip(blockHue(block), block)));
  }

  private showScale({ plan, theme, block }: LegendFacts): void {
    const blocks = blocksOf(plan);
    const shown = block ?? (blocks.includes('attention') ? 'attention' : (blocks[0] ?? 'other'));
    if (this.bar.dataset.look === `${theme} ${shown}`) return;
    this.bar.dataset.look = `${theme} ${shown}`;
    const hue = blockHue(shown);
    const stops = Array.from({ length: BAR_STEPS }, (_, step) =>
      toCss(valueColour((2 * step) / (BAR_STEPS - 1) - 1, 1, hue, RAMPS[theme])),
    );
    this.bar.style.background = `linear-gradient(to right, ${stops.join(', ')})`;
  }

  /** Colours of NaN and inf are told only where there are any. */
  private showOdd({ frame, statistics, plan }: LegendFacts): void {
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
    this.odd.replaceChildren(...chips);
    this.odd.hidden = chips.length === 0;
  }

  private showCloud({ frame, cloud }: LegendFacts): void {
    const embedding = frame?.embedding;
    this.cloud.hidden = !cloud || !embedding;
    if (!cloud || !embedding) return;
    const bar = h('div', { class: 'legend-bar' });
    bar.style.background = `linear-gradient(to right, ${MAGNITUDE_STOPS.map(toCss).join(', ')})`;
    const shares = embedding.explained.slice(0, 3);
    const sum = shares.reduce((total, share) => total + share, 0);
    const points =
      cloud.shown < cloud.tokens ? `${count(cloud.shown)} of ${count(cloud.tokens)} tokens` : `${count(cloud.tokens)} tokens`;
    const basis = `basis of iteration ${count(embedding.basis)}${embedding.exact ? '' : ', from stored scores'}`;
    this.cloud.replaceChildren(
      h('div', { class: 'legend-title' }, `${points} in their 3 leading directions`),
      h('div', { 'data-test': 'explained' }, `explain ${shares.map(percent).join(' + ')} = ${percent(sum)}`),
      h('div', {}, `cube ±${number(cloud.extent)} · ${basis}`),
      h('div', { class: 'legend-scale' }, h('span', {}, number(cloud.magnitudes[0])), bar, h('span', {}, number(cloud.magnitudes[1])), h('span', {}, 'norm')),
    );
  }
}

function blocksOf(plan: Plan): Block[] {
  return [...new Set(plan.tensors.filter((tensor) => tensor.samples > 0).map((tensor) => tensor.block))];
}

function chip(colour: Rgb, text: string): HTMLElement {
  const swatch = h('span', { class: 'hue', 'aria-hidden': 'true' });
  swatch.style.background = toCss(colour);
  return h('span', { class: 'legend-chip' }, swatch, text);
}
