/**
 * The colour of a value. `render/shaders.ts` has the same maths in GLSL; a test holds both
 * against each other by the constants exported here.
 *
 * Zero is mid-grey, positive goes toward the hue of the tensor's block, negative toward near-black:
 * the sign is told by lightness alone, so it survives every kind of colour blindness.
 */

import type { Block } from '../data/types';

export type Rgb = readonly [number, number, number];

/** Values are scaled to [-1, 1]; the exponent lifts the small ones, of which there are most. */
export const GAMMA = 0.7;
/** Colours of zero and of the negative end; on a light ground both are lighter. */
export interface Ramp {
  zero: Rgb;
  negative: Rgb;
}
export const RAMPS: Record<'dark' | 'light', Ramp> = {
  dark: { zero: [0.46, 0.47, 0.49], negative: [0.035, 0.04, 0.06] },
  light: { zero: [0.55, 0.56, 0.58], negative: [0.17, 0.19, 0.25] },
};
export const NAN_COLOUR: Rgb = [1.0, 0.0, 0.78];
export const POSITIVE_INFINITY_COLOUR: Rgb = [1.0, 0.95, 0.2];
export const NEGATIVE_INFINITY_COLOUR: Rgb = [0.1, 0.95, 1.0];
/** A scale covers so many root mean squares; what is beyond is clipped. */
export const RMS_PER_SCALE = 3;

/** One hue per block; lightness is alike, so no block looks stronger than another. */
export const BLOCK_HUES: Record<Block, Rgb> = {
  embedding: [0.18, 0.86, 0.68],
  attention: [0.33, 0.71, 1.0],
  mlp: [1.0, 0.66, 0.24],
  norm: [0.77, 0.64, 1.0],
  head: [1.0, 0.55, 0.7],
  other: [0.74, 0.87, 0.36],
};

/** A run's colour, and a stronger one for the curve that matters most (validation). */
export interface RunColours {
  line: string;
  strong: string;
}

/** By theme: each is readable as text on its ground. */
const RUN_COLOURS: Record<'dark' | 'light', readonly RunColours[]> = {
  dark: [
    { line: '#3b9cff', strong: '#c4e2ff' },
    { line: '#ff8a3d', strong: '#ffdcc2' },
  ],
  light: [
    { line: '#1469bf', strong: '#06284f' },
    { line: '#b84a00', strong: '#4d1f00' },
  ],
};

/** Colours of the n-th run on screen. */
export function runColours(index: number, theme: 'dark' | 'light'): RunColours {
  return RUN_COLOURS[theme][index % RUN_COLOURS[theme].length]!;
}

export function blockHue(block: string): Rgb {
  return BLOCK_HUES[block as Block] ?? BLOCK_HUES.other;
}

export function mix(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

export function valueColour(value: number, scale: number, hue: Rgb, ramp: Ramp): Rgb {
  if (Number.isNaN(value)) return NAN_COLOUR;
  if (value === Infinity) return POSITIVE_INFINITY_COLOUR;
  if (value === -Infinity) return NEGATIVE_INFINITY_COLOUR;
  const share = scale > 0 ? Math.min(Math.abs(value) / scale, 1) : 0;
  return mix(ramp.zero, value < 0 ? ramp.negative : hue, share ** GAMMA);
}

/**
 * Two numbers in one, by their weights. Of numbers that are not finite the mix is what it is of the one that
 * is not; of two such it is NaN, unless both are the same and lie on the way to each other.
 */
export function blend(a: number, b: number, [first, second]: readonly [number, number]): number {
  if (second === 0) return a;
  if (!Number.isFinite(a)) {
    if (Number.isFinite(b)) return a;
    return Object.is(a, b) && second > 0 ? a : NaN;
  }
  if (!Number.isFinite(b)) return second < 0 ? -b : b;
  return a * first + b * second;
}

/** A cell's largest magnitude begins to stand out at so many typical ones, and does so wholly at so many. */
export const EXTREME_FROM = 1.8;
export const EXTREME_FULL = 3;
/** How far an extreme is lifted from the hue toward white: no value has that lightness. */
export const EXTREME_WHITE = 0.75;

/** How much a cell stands out, 0 to 1. */
export function extremeShare(absmax: number, typical: number): number {
  if (!(typical > 0)) return 0;
  const t = Math.min(Math.max((absmax / typical - EXTREME_FROM) / (EXTREME_FULL - EXTREME_FROM), 0), 1);
  return t * t * (3 - 2 * t);
}

/** The colour of a far sample, with the extreme of all elements around it. */
export function extremeColour(colour: Rgb, absmax: number, typical: number, hue: Rgb): Rgb {
  if (!Number.isFinite(absmax)) return valueColour(absmax, 0, hue, RAMPS.dark);
  return mix(colour, mix(hue, [1, 1, 1], EXTREME_WHITE), extremeShare(absmax, typical));
}

/** What one end of the colour bar stands for: 3 rms, or the largest value where that is less. */
export function tensorScale(rms: number, absmax: number): number {
  const wide = RMS_PER_SCALE * rms;
  const candidates = [wide, absmax].filter((value) => Number.isFinite(value) && value > 0);
  return candidates.length > 0 ? Math.min(...candidates) : 0;
}

/** One scale for all tensors: the median of their own, which no outlier moves. */
export function sharedScale(scales: readonly number[]): number {
  const known = scales.filter((scale) => scale > 0).sort((a, b) => a - b);
  return known.length > 0 ? known[Math.floor(known.length / 2)]! : 0;
}

/** Sequential map of the embedding cloud, dark to light; monotone in lightness. */
export const MAGNITUDE_STOPS: readonly Rgb[] = [
  [0.19, 0.25, 0.6],
  [0.13, 0.51, 0.74],
  [0.16, 0.73, 0.66],
  [0.65, 0.87, 0.42],
  [1.0, 0.95, 0.62],
];

export function magnitudeColour(share: number): Rgb {
  const t = Math.min(Math.max(share, 0), 1) * (MAGNITUDE_STOPS.length - 1);
  const low = Math.min(Math.floor(t), MAGNITUDE_STOPS.length - 2);
  return mix(MAGNITUDE_STOPS[low]!, MAGNITUDE_STOPS[low + 1]!, t - low);
}

export function toCss(colour: Rgb): string {
  return `rgb(${colour.map((channel) => Math.round(channel * 255)).join(' ')})`;
}
