/** What a picture of one run is made of, besides the snapshot at the cursor. */

import type { Look } from './look';
import type { State } from './model';
import { strideOf } from './stride';
import { indexAtOrBefore, targetOf } from './timeline';

/** A snapshot that is mixed with the one at the cursor: taken away from it, or what playback goes to. */
export interface Second {
  run: string;
  iteration: number;
  use: 'reference' | 'next';
}

export interface Recipe {
  second: Second | null;
  /** samples of another quantity, of the newest snapshot that holds it */
  part: 'gradient_values' | 'update_values' | null;
  /** `late`: the picture is shown without them until they come */
  cells: 'none' | 'late' | 'needed';
  norms: 'late' | 'needed';
}

export function recipeOf(state: State, run: string, iteration: number): Recipe {
  const { look } = state;
  const part = { gradient: 'gradient_values', update: 'update_values' } as const;
  return {
    second: secondOf(state, run, iteration),
    part: look.colourBy === 'gradient' || look.colourBy === 'update' ? part[look.colourBy] : null,
    cells: !takesCells(look) ? 'none' : look.source === 'auto' ? 'late' : 'needed',
    norms: look.sort === 'none' ? 'late' : 'needed',
  };
}

/** Cells are of values only. */
export function takesCells({ colourBy, source }: Look): boolean {
  return colourBy === 'value' && source !== 'samples';
}

/** Tells recipes apart. */
export function recipeKey({ second, part, cells, norms }: Recipe): string {
  const with_ = second ? `${second.use} ${second.run}/${second.iteration}` : '';
  return `${with_} ${part} ${cells} ${norms}`;
}

function secondOf(state: State, id: string, iteration: number): Second | null {
  const { look, runs, selected, cursor } = state;
  const run = runs[id];
  if (!run || cursor === null) return null;
  const reference = (of: string, at: number | null | undefined): Second | null =>
    at === null || at === undefined ? null : { run: of, iteration: at, use: 'reference' };
  switch (look.colourBy) {
    case 'since_start':
      return reference(id, run.iterations[0]);
    case 'since_k': {
      const at = indexAtOrBefore(run.iterations, iteration);
      return reference(id, run.iterations[Math.max(at - look.snapshotsBack, 0)]);
    }
    case 'other_run': {
      const other = selected.find((one) => one !== id);
      return other !== undefined && runs[other] ? reference(other, targetOf(runs[other], cursor)) : null;
    }
    case 'value':
      return nextOf(state, id, iteration);
    default:
      return null;
  }
}

/** Where playback goes to, if what lies between shall be mixed. */
function nextOf(state: State, id: string, iteration: number): Second | null {
  const { look, playing, timeline, cursor, runs } = state;
  if (!playing || !look.interpolate || look.source.startsWith('cells')) return null;
  const at = indexAtOrBefore(timeline, cursor!) + strideOf(state.speed);
  const then = timeline[Math.min(at, timeline.length - 1)];
  const next = then === undefined ? null : targetOf(runs[id]!, then);
  return next === null || next === iteration ? null : { run: id, iteration: next, use: 'next' };
}
