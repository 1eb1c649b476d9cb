/**
 * Brings the frames that the cursor asks for, and hands them over whole: a picture of all views at once,
 * never two iterations in one view, never an older request after a newer one.
 */

import type { FrameSource, Wish } from '../data/frames';
import { Priority, SCHEDULER_DEFAULTS } from '../data/scheduler';
import type { State } from './model';
import { dishKey, dishOf, isReady, lateKey, missing, serve, type Dish, type Picture, type Target } from './picture';
import { strideOf } from './stride';
import { indexAtOrBefore, targetOf } from './timeline';

export type { Picture, Target } from './picture';

interface Request {
  sequence: number;
  dishes: Dish[];
}

/** Frames fetched ahead while playing, at least; they are wished for by so many, which make one request. */
const PLAYING_AHEAD = 24;
const PLAYING_TOGETHER = SCHEDULER_DEFAULTS.maxBatch;
/** Frames fetched around a resting cursor. */
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
  /** What is on screen, and what came late of it already. */
  private shown: { dishes: Dish[]; late: string } | null = null;
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
    const dishes = targetsOf(state, state.cursor).map((target) => dishOf(state, target));
    const key = dishes.map((dish) => `${dishKey(dish)}@${state.runs[dish.run]?.basis}`).join(' ');
    if (dishes.length > 0 && key !== this.lastKey) {
      this.lastKey = key;
      this.sequence += 1;
      this.requests.push({ sequence: this.sequence, dishes });
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

  /** The picture asked for last is not on screen yet. */
  get isBehind(): boolean {
    return this.sequence > this.shownSequence;
  }

  private showNewest(): void {
    const ready = this.requests.findLast(({ dishes }) => dishes.every((dish) => isReady(this.frames, dish)));
    if (!ready) {
      this.showLate();
      return;
    }
    this.requests = this.requests.filter((request) => request.sequence > ready.sequence);
    if (ready.sequence <= this.shownSequence) return;
    this.shownSequence = ready.sequence;
    this.show(ready.dishes);
  }

  private show(dishes: Dish[]): void {
    const pictures = dishes.map((dish) => serve(this.frames, dish));
    this.shown = { dishes, late: pictures.map(lateKey).join() };
    this.present(pictures);
  }

  /** Cells and norms of the picture on screen have come. */
  private showLate(): void {
    if (!this.shown || this.isBehind || this.state?.playing) return;
    const pictures = this.shown.dishes.map((dish) => serve(this.frames, dish));
    if (pictures.map(lateKey).join() !== this.shown.late) this.show(this.shown.dishes);
  }

  /**
   * The newest request first. Of the overtaken ones only the oldest flies on, and only if it flies
   * already: so dragging shows pictures on the way instead of none until the hand rests.
   */
  private wishes(state: State): Wish[] {
    const visible = Priority.visible;
    const newest = this.requests.at(-1);
    const wishes = this.missingOf(newest?.dishes ?? [], 'needed', visible);
    const trailing = this.requests
      .slice(0, -1)
      .find(({ dishes }) => dishes.some(({ run, iteration }) => this.frames.isLoading(run, iteration)));
    this.requests = this.requests.filter((request) => request === newest || request === trailing);
    wishes.push(...this.missingOf(trailing?.dishes ?? [], 'needed', visible));
    if (!state.playing && !this.isResting) return wishes;
    wishes.push(...this.missingOf(newest?.dishes ?? this.shown?.dishes ?? [], 'late', Priority.prefetch));
    for (const { targets, priority } of neighbours(state)) {
      const dishes = targets.map((target) => dishOf(state, target));
      wishes.push(...this.missingOf(dishes, 'needed', priority), ...this.missingOf(dishes, 'late', priority));
    }
    return wishes;
  }

  private missingOf(dishes: readonly Dish[], when: 'needed' | 'late', priority: Priority): Wish[] {
    return dishes.flatMap((dish) => missing(this.frames, dish, when, priority) ?? []);
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

/** What comes next and what was before, nearest first. */
function neighbours(state: State): { targets: Target[]; priority: Priority }[] {
  if (state.cursor === null) return [];
  const at = indexAtOrBefore(state.timeline, state.cursor);
  const behind = state.playing ? 0 : RESTING_BEHIND;
  const stride = state.playing ? strideOf(state.speed) : 1;
  const ahead = state.playing ? playingAhead(at, stride) : RESTING_AHEAD;
  const found: { targets: Target[]; priority: Priority }[] = [];
  const add = (index: number, priority: Priority) => {
    const cursor = state.timeline[index];
    if (cursor !== undefined) found.push({ targets: targetsOf(state, cursor), priority });
  };
  for (let step = 1; step <= ahead; step += 1) add(at + step * stride, Priority.prefetch);
  for (let step = 1; step <= behind; step += 1) add(at - step, Priority.recent);
  return found;
}

/** How many frames to wish for: up to the end of a group, so that each picture does not ask for one more by itself. */
function playingAhead(at: number, stride: number): number {
  const place = Math.floor(at / stride);
  return Math.ceil((place + PLAYING_AHEAD) / PLAYING_TOGETHER) * PLAYING_TOGETHER - place;
}
