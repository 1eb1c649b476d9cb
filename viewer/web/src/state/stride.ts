/** How fast playback walks along the snapshots, and how many it leaves out. */

/** Snapshots per second at speed 1. */
export const BASE_RATE_hz = 8;

/** Not many more pictures a second are seen as such; faster playback leaves some out, always the same ones. */
const MOST_PICTURES_hz = 30;

/** Playback at this speed shows every so many-th snapshot. */
export function strideOf(speed: number): number {
  return Math.max(1, Math.round((BASE_RATE_hz * speed) / MOST_PICTURES_hz));
}
