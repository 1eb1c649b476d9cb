/**
 * Colours that tell kinds apart, for every kind of sight: those of Okabe and Ito (2008), moved apart for each ground
 * until the two nearest are as far from one another as can be, also to eyes without green or red receptors.
 */

import type { Rgb } from './colour';

export const CATEGORIES: Record<'dark' | 'light', readonly Rgb[]> = {
  dark: [
    [0.5, 0.69, 1.0],
    [1.0, 0.63, 0.0],
    [0.12, 0.82, 0.49],
    [1.0, 1.0, 0.29],
    [0.64, 0.31, 0.64],
    [0.77, 0.24, 0.22],
    [0.19, 0.36, 0.99],
    [0.86, 0.93, 0.87],
  ],
  light: [
    [0.24, 0.5, 0.92],
    [0.66, 0.45, 0.16],
    [0.0, 0.52, 0.38],
    [0.82, 0.63, 0.0],
    [0.88, 0.29, 0.65],
    [0.64, 0.14, 0.08],
    [0.05, 0.15, 0.52],
    [0.27, 0.27, 0.35],
  ],
};

/** What is in no category, or not known: the colour of the cloud's frame. */
export const NEUTRAL: Record<'dark' | 'light', Rgb> = { dark: [0.34, 0.4, 0.5], light: [0.55, 0.6, 0.68] };

/** Chosen tokens and their trails, in the order in which they were chosen. */
export function trailColour(order: number, theme: 'dark' | 'light'): Rgb {
  const hues = CATEGORIES[theme];
  return hues[(order * 3 + 1) % (hues.length - 1)]!;
}

/** Clusters beyond the number of colours begin again with the first. */
export function categoryOf(number: number, theme: 'dark' | 'light'): Rgb {
  return number < 0 ? NEUTRAL[theme] : CATEGORIES[theme][number % CATEGORIES[theme].length]!;
}
