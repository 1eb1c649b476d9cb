/** Real extents on a compressed scale, so that a vocabulary of 50,257 and a width of 64 fit one picture. */

/** Extent to the power of this: 16 times longer looks three times longer. */
const COMPRESSION = 0.4;
const SMALLEST = 1.6;

/** Thickness of a bias or norm beside its weight. */
export const STRIP = 1.25;

/** World length of a matrix side. */
export function sideLength(extent: number): number {
  return Math.max(extent, 1) ** COMPRESSION < SMALLEST ? SMALLEST : extent ** COMPRESSION;
}
