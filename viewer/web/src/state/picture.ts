/** A picture of one run and the pieces that it needs: what is here, what is to be asked for. */

import type { Found, FrameSource, Wish } from '../data/frames';
import type { FurtherPart } from '../data/further';
import type { Priority } from '../data/scheduler';
import type { Frame, FrameFailure } from '../data/types';
import type { Look } from './look';
import type { State } from './model';
import { recipeKey, recipeOf, type Recipe, type Second } from './recipe';

export interface Target {
  run: string;
  iteration: number;
}

/** A further part as a picture has it: `iteration` is null where no snapshot up to here holds it. */
export type Part<P extends FurtherPart> = Omit<Found<P>, 'iteration'> & { iteration: number | null };

/** Everything that one view shows at once. */
export interface Picture extends Target {
  /** How it was asked to look. */
  look: Look;
  frame: Frame | null;
  failure: FrameFailure['error'] | null;
  second: (Second & { frame: Frame | null }) | null;
  gradient: Part<'gradient_values'> | null;
  update: Part<'update_values'> | null;
  cells: Part<'cells'> | null;
  norms: Part<'norms'> | null;
}

/** A target with its recipe. */
export interface Dish extends Target {
  recipe: Recipe;
  look: Look;
  /** the run's newest snapshot */
  newest: number;
}

export function dishOf(state: State, target: Target): Dish {
  const newest = state.runs[target.run]?.iterations.at(-1) ?? target.iteration;
  return { ...target, recipe: recipeOf(state, target.run, target.iteration), look: state.look, newest };
}

/** Tells dishes apart; another scale is no other dish. */
export function dishKey({ run, iteration, recipe, look }: Dish): string {
  return `${run}/${iteration} ${recipeKey(recipe)} ${look.colourBy} ${look.source} ${look.sort}`;
}

/** Which further parts a dish takes: those that it cannot be shown without, or those that may come late. */
function partsOf({ recipe }: Dish, when: 'needed' | 'late'): FurtherPart[] {
  const parts: FurtherPart[] = when === 'needed' && recipe.part ? [recipe.part] : [];
  if (recipe.cells === when) parts.push('cells');
  if (recipe.norms === when) parts.push('norms');
  return parts;
}

/** What is missing of a dish, as wishes; null while it is not known where a part lies. */
export function missing(
  frames: FrameSource,
  dish: Dish,
  when: 'needed' | 'late',
  priority: Priority,
): Wish[] | null {
  const wishes: Wish[] = [];
  const { run, iteration, recipe } = dish;
  if (when === 'needed') {
    if (!frames.has(run, iteration)) wishes.push({ run, iteration, priority });
    const { second } = recipe;
    if (second && !frames.has(second.run, second.iteration)) {
      wishes.push({ run: second.run, iteration: second.iteration, priority });
    }
  }
  let isKnown = true;
  for (const part of partsOf(dish, when)) {
    const holder = frames.holder(run, iteration, part, dish.newest);
    if (holder === undefined) isKnown = false;
    else if (holder !== null && !frames.has(run, holder, part)) wishes.push({ run, iteration: holder, part, priority });
  }
  return isKnown || wishes.length > 0 ? wishes : null;
}

/** Nothing that the dish cannot do without is missing. */
export function isReady(frames: FrameSource, dish: Dish): boolean {
  return missing(frames, dish, 'needed', 0)?.length === 0;
}

/** The pieces that are here. What may come late is left out while it is not. */
export function serve(frames: FrameSource, dish: Dish): Picture {
  const { run, iteration, recipe } = dish;
  const part = <P extends FurtherPart>(wanted: boolean, name: P): Part<P> | null => {
    if (!wanted) return null;
    const holder = frames.holder(run, iteration, name, dish.newest);
    if (holder === null) return { iteration: null, plan: null, content: null, failure: null };
    return (holder !== undefined && frames.piece(run, holder, name)) || null;
  };
  const { second } = recipe;
  return {
    run,
    iteration,
    look: dish.look,
    frame: frames.get(run, iteration) ?? null,
    failure: frames.failure(run, iteration) ?? null,
    second: second && { ...second, frame: frames.get(second.run, second.iteration) ?? null },
    gradient: part(recipe.part === 'gradient_values', 'gradient_values'),
    update: part(recipe.part === 'update_values', 'update_values'),
    cells: part(recipe.cells !== 'none', 'cells'),
    norms: part(true, 'norms'),
  };
}

/** Tells what came late of a picture. */
export function lateKey({ cells, norms }: Picture): string {
  return `${cells ? cells.iteration : 'none'} ${norms ? norms.iteration : 'none'}`;
}
