/**
 * How finely a scene is drawn while it changes, by what frames really take: the browser holds back the
 * next frame when the renderer is behind, so the time from a draw to the next frame tells.
 */

/** Share of the pixels at rest, per axis, at each level. */
const SHARES = [1, 0.85, 0.75] as const;
/** Never fewer device pixels than this to a CSS pixel. */
const LEAST_RATIO = 0.75;
/** Slower than this on average: fewer pixels. */
const SLOW_ms = 28;
/** Quicker than this: more pixels when the scene changes the next time. */
const QUICK_ms = 18;
/** Weight of the newest frame in the average. */
const NEWEST = 0.2;
/** A change of pixels takes time itself; so many frames must speak for it. */
const LEAST_FRAMES = 6;

export class Pace {
  private level: number;
  private average_ms = 0;
  private frames = 0;

  /** A renderer that is known to be slow starts with the fewest pixels. */
  constructor(isSlow: boolean) {
    this.level = isSlow ? SHARES.length - 1 : 0;
  }

  /** Frames are late: what is not needed while things move is left out. */
  get isSlow(): boolean {
    return this.level > 0;
  }

  /** Device pixels per CSS pixel while the scene changes. */
  ratio(atRest: number): number {
    return Math.min(Math.max(atRest * SHARES[this.level]!, LEAST_RATIO), atRest);
  }

  /** A frame took so long, in ms, until the next could begin; true if that changes the ratio at once. */
  note(frame_ms: number): boolean {
    this.frames += 1;
    this.average_ms += (frame_ms - this.average_ms) * Math.max(NEWEST, 1 / this.frames);
    if (this.frames < LEAST_FRAMES || this.average_ms < SLOW_ms || this.level === SHARES.length - 1) return false;
    this.level += 1;
    this.frames = 0;
    return true;
  }

  /** The scene is at rest. */
  rest(): void {
    if (this.frames >= LEAST_FRAMES && this.average_ms < QUICK_ms && this.level > 0) this.level -= 1;
    this.frames = 0;
  }
}
