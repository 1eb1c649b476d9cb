/**
 * Brings the frames that the cursor asks for, and hands them over whole: a picture of all views at once,
 * never two iterations in one view, never an older request after a newer one.
 */

import type { FrameSource, Wish } from '../data/frames';
import { Priority } from '../data/scheduler';
import type { Frame, FrameFailure } from '../data/types';
import type { State } from './model';
import { strideOf } from './player';
import { targetOf } from './reducer';
import { indexAtOrBefore } from './timeline';

export interface Target {
  run: string;
  iteration: number;
}

export interface Picture {
  run: string;
  iteration: number;
  frame: Frame | null;
  failure: FrameFailure['error'] | null;
}

interface Request {
  sequence: number;
  targets: Target[];
}

/** Frames fetched ahead while playing, and around a resting cursor. */
const PLAYING_AHEAD = 32;
const RESTING_AHEAD = 6;
const RESTING_BEHIND = 3;
/** A cursor that rests so long is worth fetching around. */
const REST_ms = 150;

export class Loader {
  private readonly frames: FrameSource;
  private readonly present: (pictures: Picture[]) => void;
  private requests: Request[] = [];
  private sequence = 0;
  private shownSequence = 0;
  private lastKey = '';
  private isResting = false;
  private state: State | null = null;
  private restTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(frames: FrameSource, present: (pictures: Picture[]) => void) {
    this.frames = frames;
    this.present = present;
  }

  /** Follows the state: a new request when the wished picture changed, fresh wishes always. */
  follow(state: State): void {
    this.state = state;
    if (state.cursor === null) return;
    const targets = targetsOf(state, state.cursor);
    const key = targets.map(({ run, iteration }) => `${run}/${iteration}@${state.runs[run]?.basis}`).join(' ');
    if (targets.length > 0 && key !== this.lastKey) {
      this.lastKey = key;
      this.sequence += 1;
      this.requests.push({ sequence: this.sequence, targets });
      this.rest();
    }
    this.showNewest();
    this.frames.wish(this.wishes(state));
  }

  /** Something arrived: show the newest complete request that is newer than what is shown. */
  arrived(state: State): void {
    this.state = state;
    this.showNewest();
    this.frames.wish(this.wishes(state));
  }

  /** Asks for the wished picture again, also if it is shown. */
  repeat(state: State): void {
    this.lastKey = '';
    this.follow(state);
  }

  /** While the cursor jumps about, its neighbours would only be in the way. */
  private rest(): void {
    this.isResting = false;
    if (this.restTimer !== null) clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => {
      this.restTimer = null;
      this.isResting = true;
      if (this.state) this.frames.wish(this.wishes(this.state));
    }, REST_ms);
  }

  private showNewest(): void {
    const ready = this.requests.findLast((request) =>
      request.targets.every(({ run, iteration }) => this.frames.has(run, iteration)),
    );
    if (!ready) return;
    this.requests = this.requests.filter((request) => request.sequence > ready.sequence);
    if (ready.sequence <= this.shownSequence) return;
    this.shownSequence = ready.sequence;
    this.present(
      ready.targets.map(({ run, iteration }) => ({
        run,
        iteration,
        frame: this.frames.get(run, iteration) ?? null,
        failure: this.frames.failure(run, iteration) ?? null,
      })),
    );
  }

  /**
   * The newest request first. Of the overtaken ones only the oldest flies on, and only if it flies
   * already: so dragging shows pictures on the way instead of none until the hand rests.
   */
  private wishes(state: State): Wish[] {
    const visible = Priority.visible;
    const newest = this.requests.at(-1);
    const wishes: Wish[] = (newest?.targets ?? []).map((target) => ({ ...target, priority: visible }));
    const trailing = this.requests
      .slice(0, -1)
      .find(({ targets }) => targets.some(({ run, iteration }) => this.frames.isLoading(run, iteration)));
    this.requests = this.requests.filter((request) => request === newest || request === trailing);
    for (const target of trailing?.targets ?? []) wishes.push({ ...target, priority: visible });
    return state.playing || this.isResting ? [...wishes, ...neighbours(state)] : wishes;
  }
}

/** For each selected run its newest snapshot that is not after the cursor. */
export function targetsOf(state: State, cursor: number): Target[] {
  const targets: Target[] = [];
  for (const id of state.selected) {
    const run = state.runs[id];
    const iteration = run ? targetOf(run, cursor) : null;
    if (iteration !== null) targets.push({ run: id, iteration });
  }
  return targets;
}

function neighbours(state: State): Wish[] {
  if (state.cursor === null) return [];
  const at = indexAtOrBefore(state.timeline, state.cursor);
  const ahead = state.playing ? PLAYING_AHEAD : RESTING_AHEAD;
  const behind = state.playing ? 0 : RESTING_BEHIND;
  const stride = state.playing ? strideOf(state.speed) : 1;
  const wishes: Wish[] = [];
  const add = (index: number, priority: Priority) => {
    const cursor = state.timeline[index];
    if (cursor === undefined) return;
    for (const target of targetsOf(state, cursor)) wishes.push({ ...target, priority });
  };
  for (let step = 1; step <= ahead; step += 1) add(at + step * stride, Priority.prefetch);
  for (let step = 1; step <= behind; step += 1) add(at - step, Priority.recent);
  return wishes;
}
