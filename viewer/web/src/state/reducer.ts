/** State and action to the next state; nothing else happens here. */

import type { Connection } from '../data/tail';
import type { Problem, RunInfo, RunSummary, Series, TailUpdate } from '../data/types';
import { changedChoice, choiceAmong, type CloudChoice } from './cloudchoice';
import { changedLook, type Look } from './look';
import { SPEEDS, type Graphics, type RunState, type Selection, type Shown } from './model';
import type { State, Tab, Theme } from './model';
import { GrowingSeries } from './series';
import { indexAtOrBefore, mergeIterations, nearestIndex } from './timeline';

export type Action =
  | { type: 'offered'; runs: RunSummary[] }
  | { type: 'selected'; runs: string[] }
  | { type: 'opened'; info: RunInfo; now_unix_s: number }
  | { type: 'scalars'; run: string; scalars: Record<string, Series> }
  | { type: 'updated'; update: TailUpdate; now_unix_s: number }
  | { type: 'connection'; connection: Connection }
  | { type: 'seek'; iteration: number }
  | { type: 'step'; by: number }
  | { type: 'first' }
  | { type: 'last' }
  | { type: 'advance'; iteration: number }
  | { type: 'follow' }
  | { type: 'playing'; playing: boolean }
  | { type: 'speed'; speed: number }
  | { type: 'shown'; shown: Record<string, Shown> }
  | { type: 'tab'; tab: Tab }
  | { type: 'theme'; theme: Theme }
  | { type: 'look'; look: Partial<Look> }
  | { type: 'cloud'; cloud: Partial<CloudChoice> }
  | { type: 'selection'; selection: Selection | null }
  | { type: 'panel'; open: boolean }
  | { type: 'help'; open: boolean }
  | { type: 'graphics'; graphics: Graphics }
  | { type: 'problem'; run: string; problem: Problem | null }
  | { type: 'notice'; notice: string | null }
  | { type: 'failed'; failure: string | null };

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case 'offered':
      return { ...state, offered: action.runs };
    case 'selected':
      return select(state, action.runs);
    case 'opened':
      return withProblem(
        withRun(state, action.info.id, opened(action.info, action.now_unix_s)),
        action.info.id,
        action.info.problem,
      );
    case 'scalars':
      return withScalars(state, action.run, action.scalars);
    case 'updated':
      return updated(state, action.update, action.now_unix_s);
    case 'connection':
      return { ...state, connection: action.connection };
    case 'seek':
      return seek(state, action.iteration);
    case 'step':
      return moveTo(state, stepTarget(state, action.by));
    case 'first':
      return moveTo(state, state.timeline[0]);
    case 'last':
      return moveTo(state, state.timeline.at(-1));
    case 'advance':
      return state.playing ? { ...state, cursor: action.iteration } : state;
    case 'follow':
      return { ...state, following: true, playing: false, cursor: state.timeline.at(-1) ?? null, notice: null };
    case 'playing':
      return { ...state, playing: action.playing, following: action.playing ? false : state.following };
    case 'speed':
      return { ...state, speed: Math.min(Math.max(action.speed, SPEEDS[0]), SPEEDS.at(-1)!) };
    case 'shown':
      return { ...state, shown: { ...state.shown, ...action.shown } };
    case 'tab':
      return { ...state, tab: action.tab };
    case 'theme':
      return { ...state, theme: action.theme };
    case 'look':
      return { ...state, look: changedLook(state.look, action.look) };
    case 'cloud':
      return { ...state, cloud: changedChoice(state.cloud, action.cloud) };
    case 'selection':
      return { ...state, selection: action.selection };
    case 'panel':
      return { ...state, panelOpen: action.open };
    case 'help':
      return { ...state, helpOpen: action.open };
    case 'graphics':
      return { ...state, graphics: action.graphics };
    case 'problem':
      return withProblem(state, action.run, action.problem);
    case 'notice':
      return { ...state, notice: action.notice };
    case 'failed':
      return { ...state, failure: action.failure };
  }
}

function opened(info: RunInfo, now_unix_s: number): RunState {
  return {
    info,
    status: info.status,
    iterations: info.iterations,
    events: info.events,
    series: {},
    scalarsVersion: 0,
    plan: info.plan,
    basis: info.embedding?.basis ?? null,
    alive_unix_s: now_unix_s - info.age_s,
  };
}

function withRun(state: State, id: string, run: RunState): State {
  return withTimeline({ ...state, runs: { ...state.runs, [id]: run } });
}

function withProblem(state: State, run: string, problem: Problem | null): State {
  if ((state.problems[run] ?? null) === problem) return state;
  return { ...state, problems: { ...state.problems, [run]: problem } };
}

/** The union of the selected runs' iterations, and a cursor that stands in it. */
function withTimeline(state: State): State {
  const timeline = state.selected.reduce<number[]>(
    (merged, id) => mergeIterations(merged, state.runs[id]?.iterations ?? []),
    [],
  );
  const newest = timeline.at(-1) ?? null;
  const cursor = state.following || state.cursor === null ? newest : state.cursor;
  return { ...state, timeline, cursor };
}

function select(state: State, runs: string[]): State {
  const selection = state.selection && runs.includes(state.selection.run) ? state.selection : null;
  const selected = runs.slice(0, 2);
  const cloud = choiceAmong(state.cloud, state.selected, selected);
  return withTimeline({ ...state, selected, selection, cloud, shown: {}, playing: false });
}

function withScalars(state: State, id: string, scalars: Record<string, Series>): State {
  const run = state.runs[id];
  if (!run) return state;
  const series = Object.fromEntries(
    Object.entries(scalars).map(([name, values]) => [name, new GrowingSeries(values)]),
  );
  // What the tail brought while this was on its way is not lost.
  for (const [name, early] of Object.entries(run.series)) {
    const target = (series[name] ??= new GrowingSeries());
    early.iterations.forEach((iteration, index) => target.add(iteration, early.values[index]!));
  }
  return { ...state, runs: { ...state.runs, [id]: { ...run, series, scalarsVersion: run.scalarsVersion + 1 } } };
}

function updated(state: State, update: TailUpdate, now_unix_s: number): State {
  const run = state.runs[update.run];
  if (!run) return state;
  for (const [iteration, named] of update.scalars) {
    for (const [name, value] of Object.entries(named)) (run.series[name] ??= new GrowingSeries()).add(iteration, value);
  }
  const fresh = [...update.iterations].sort((a, b) => a - b);
  const next: RunState = {
    ...run,
    status: update.status,
    iterations: fresh.length > 0 ? mergeIterations(run.iterations, fresh) : run.iterations,
    events: update.events.length > 0 ? [...run.events, ...update.events] : run.events,
    scalarsVersion: run.scalarsVersion + (update.scalars.length > 0 ? 1 : 0),
    plan: update.plan ?? run.plan,
    basis: update.basis ?? run.basis,
    alive_unix_s: now_unix_s - update.age_s,
  };
  return withRun(state, update.run, next);
}

/** By hand the cursor leaves the newest iteration, unless the newest is where it goes. */
function moveTo(state: State, iteration: number | undefined): State {
  if (iteration === undefined) return state;
  const newest = iteration === state.timeline.at(-1);
  return { ...state, cursor: iteration, playing: false, following: newest && isLive(state), notice: null };
}

export function isLive(state: State): boolean {
  return state.selected.some((id) => state.runs[id]?.status === 'recording');
}

function stepTarget(state: State, by: number): number | undefined {
  if (state.cursor === null) return undefined;
  const index = indexAtOrBefore(state.timeline, state.cursor);
  return state.timeline[Math.min(Math.max(index + by, 0), state.timeline.length - 1)];
}

/** Goes to the nearest recorded iteration and says so where it is another one. */
function seek(state: State, wish: number): State {
  const iteration = state.timeline[nearestIndex(state.timeline, wish)];
  const next = moveTo(state, iteration);
  if (iteration === undefined || iteration === wish) return next;
  return { ...next, notice: `Iteration ${wish} was not recorded; showing ${iteration}, the nearest one.` };
}
