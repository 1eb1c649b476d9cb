/** What the colours of the cloud mean, how much of the vocabulary it shows, and how far it can be trusted. */

import type { Trust } from '../data/cloud';
import type { EmbeddingInfo, FrameEmbedding } from '../data/types';
import { MAGNITUDE_STOPS, toCss, type Rgb } from '../layout/colour';
import type { CloudFacts } from '../render/cloud';
import { h } from './dom';
import { count, number, percent } from './format';

/** What the points' colours say now. */
export interface ColourKey {
  /** words under the scale */
  text: string;
  range: readonly [number, number] | null;
  chips: readonly { colour: Rgb; text: string }[];
}

export interface CloudLegendFacts {
  cloud: CloudFacts;
  embedding: FrameEmbedding;
  info: EmbeddingInfo;
  trust: Trust | null;
  key: ColourKey;
  /** "PCA", or the name and iteration of what was computed once */
  projection: string | null;
}

export class CloudLegend {
  readonly element = h('div', { class: 'legend-cloud', 'data-test': 'cloud-legend', hidden: true });

  hide(): void {
    this.element.hidden = true;
  }

  show(facts: CloudLegendFacts): void {
    this.element.hidden = false;
    this.element.replaceChildren(
      h('div', { class: 'legend-title' }, tokensText(facts)),
      ...(facts.projection === null ? pcaLines(facts) : [h('div', {}, facts.projection)]),
      ...keyOf(facts.key),
    );
  }
}

/** How many of the vocabulary are shown. */
export function tokensText({ cloud, info }: CloudLegendFacts): string {
  const { shown, tokens } = cloud;
  const all = info.vocabulary_size;
  const some = shown < tokens ? `${count(shown)} of ${count(tokens)} recorded` : count(tokens);
  const share = tokens < all ? ` of ${count(all)} tokens, ${percent(tokens / all)} of the vocabulary` : ' tokens, the whole vocabulary';
  return `${some}${share}`;
}

function pcaLines({ cloud, embedding, trust }: CloudLegendFacts): HTMLElement[] {
  const shares = embedding.explained.slice(0, 3);
  const sum = shares.reduce((total, share) => total + share, 0);
  const basis = `basis of iteration ${count(embedding.basis)}${embedding.exact ? '' : ', from stored scores'}`;
  const lines: HTMLElement[] = [
    h('div', { 'data-test': 'explained' }, `3 leading axes, ${shares.map(percent).join(' + ')} = ${percent(sum)}`),
    h('div', {}, `cube ±${number(cloud.extent)} · ${basis}`),
  ];
  if (trust) lines.push(...trustLines(trust, embedding.basis));
  return lines;
}

/** How far the picture can be trusted, in words. */
export function trustLines(trust: Trust, basis: number): HTMLElement[] {
  const parts: string[] = [];
  if (!Number.isNaN(trust.explained)) parts.push(`${percent(trust.explained)} of all variance`);
  if (!Number.isNaN(trust.neighbours_kept)) parts.push(`${percent(trust.neighbours_kept)} of the 10 nearest neighbours`);
  if (parts.length === 0 || trust.basis !== basis) return [];
  const at = `iteration ${count(trust.iteration)}`;
  const lines = [h('div', { 'data-test': 'trust' }, `${at}: keeps ${parts.join(' and ')}`)];
  if (trust.axes_above_noise === 0 && !Number.isNaN(trust.largest)) {
    const text = `no structure above noise: noise alone has up to ${percent(trust.noise)} along an axis`;
    lines.push(h('div', { class: 'warning', 'data-test': 'noise' }, text));
  }
  return lines;
}

/** The bar or the chips of the points' colours. */
export function keyOf({ text, range, chips }: ColourKey): HTMLElement[] {
  if (!range) {
    const items = chips.map(({ colour, text: name }) => {
      const dot = h('span', { class: 'hue', 'aria-hidden': 'true' });
      dot.style.background = toCss(colour);
      return h('span', { class: 'legend-chip' }, dot, name);
    });
    return [h('div', { class: 'legend-blocks', 'data-test': 'cloud-key' }, ...items, ...(text ? [h('span', {}, text)] : []))];
  }
  const bar = h('div', { class: 'legend-bar' });
  bar.style.background = `linear-gradient(to right, ${MAGNITUDE_STOPS.map(toCss).join(', ')})`;
  const [low, high] = range.map((end) => h('span', {}, number(end)));
  return [h('div', { class: 'legend-scale', 'data-test': 'cloud-key' }, low!, bar, high!, h('span', {}, text))];
}
