/** From what the points are coloured by to one number for each token, and the words of the legend. */

import type { Clusters } from '../data/cloud';
import type { Frame, Plan } from '../data/types';
import { categoryOf, CATEGORIES, NEUTRAL } from '../layout/categories';
import { distancesMoved } from '../layout/moves';
import { classNumbers, TOKEN_CLASSES } from '../layout/tokens';
import type { CloudFacts, Shades } from '../render/cloud';
import type { Theme } from '../state/model';
import type { ColourKey } from './cloudlegend';
import { count } from './format';

/** Numbers that belong to a plan, made once. */
export class TokenKinds {
  private plan: Plan | null = null;
  private vocabulary: readonly string[] | null = null;
  private numbers = new Float32Array(0);

  of(plan: Plan, vocabulary: readonly string[] | null): Float32Array {
    if (plan !== this.plan || vocabulary !== this.vocabulary) {
      this.plan = plan;
      this.vocabulary = vocabulary;
      this.numbers = classNumbers(plan.embedding_tokens ?? [], vocabulary) as Float32Array<ArrayBuffer>;
    }
    return this.numbers;
  }
}

export interface Coloured {
  shades: Shades | null;
  key: ColourKey;
}

export function byMagnitude(facts: CloudFacts): Coloured {
  return { shades: null, key: { text: 'norm', range: facts.magnitudes, chips: [] } };
}

export function byKind(numbers: Float32Array, theme: Theme): Coloured {
  const palette = CATEGORIES[theme];
  const present = new Set(numbers);
  const chips = TOKEN_CLASSES.map((text, index) => ({ colour: palette[index]!, text, index }))
    .filter(({ index }) => present.has(index))
    .map(({ colour, text }) => ({ colour, text }));
  return { shades: { values: numbers, range: null, palette }, key: { text: '', range: null, chips } };
}

/** `base`: where the tokens were at iteration `since`; null while that is on its way. */
export function byMove(frame: Frame, base: Float32Array | null, since: number, buffer: Float32Array): Coloured & { buffer: Float32Array } {
  const now = frame.embedding!.coordinates;
  const values = base && base.length === now.length ? distancesMoved(base, now, buffer) : filled(buffer, now.length / 3);
  let most = 0;
  for (const value of values) most = Math.max(most, value);
  const text = `moved since iteration ${count(since)}`;
  const range = [0, most > 0 ? most : 1] as const;
  return { shades: { values, range, palette: [] }, key: { text, range, chips: [] }, buffer: values };
}

const MOST_CHIPS = 8;

export function byCluster(clusters: Clusters, plan: Plan, theme: Theme): Coloured {
  const numberOf = new Map<number, number>();
  clusters.tokens.forEach((token, index) => numberOf.set(token, clusters.numbers[index]!));
  const values = Float32Array.from(plan.embedding_tokens ?? [], (token) => numberOf.get(token) ?? -1);
  const numbers = [...new Set(values)].filter((value) => value >= 0).sort((a, b) => a - b);
  const chips = numbers.slice(0, MOST_CHIPS).map((value) => ({ colour: categoryOf(value, theme), text: `cluster ${value}` }));
  if (values.includes(-1)) chips.push({ colour: NEUTRAL[theme], text: 'in none' });
  const more = numbers.length > MOST_CHIPS ? `${count(numbers.length)} clusters; colours come again · ` : '';
  return {
    shades: { values, range: null, palette: CATEGORIES[theme] },
    key: { text: `${more}of iteration ${count(clusters.iteration)}`, range: null, chips },
  };
}

function filled(buffer: Float32Array, length: number): Float32Array {
  const values = buffer.length === length ? buffer : new Float32Array(length);
  return values.fill(-1);
}
