/** From a picture and how it is looked at to what the plates are told: scales, sources, orders. */

import { alignSamples, type AlignedSamples } from '../data/align';
import { movingSamples } from '../data/samples';
import type { Plan, Positions } from '../data/types';
import type { Box } from '../layout/boxes';
import { cellFacts, type CellFacts } from '../layout/celldata';
import { hasMoved, isMissing, type Coloured } from '../layout/coloured';
import { sharedScale } from '../layout/colour';
import { bordersOf, orderOf, sampledNorms, sharesOf } from '../layout/order';
import { plateScale } from '../layout/scales';
import type { Look, Source } from '../state/look';
import type { Picture } from '../state/picture';

/** A picture with what belongs to it but is kept elsewhere. */
export interface Served {
  picture: Picture;
  /** the plan of the second snapshot */
  secondPlan: Plan | null;
  positions: Positions | null;
  look: Look;
  statistics: readonly string[];
}

export interface TensorLook {
  /** what one end of its colours stands for; 0 where there is none */
  value: number;
  /** the same as the shader needs them, for numbers without their powers of two */
  scale: number;
  meanScale: number;
  cellScale: number;
  missing: boolean;
  moved: boolean;
}

export interface PlateLook {
  plates: TensorLook[];
  coloured: Coloured;
  weights: readonly [number, number];
  /** where the vectors begin in the scaled samples; null where the snapshot's own are coloured */
  scaledBase: number | null;
  source: Source;
  hasCells: boolean;
  sortRows: boolean;
  sortColumns: boolean;
}

/** What is coloured in a picture that has its frame. */
export function colouredOf({ picture, secondPlan, look }: Served, plan: Plan): Coloured {
  const { frame, second } = picture;
  let aligned: AlignedSamples | null = null;
  if (second?.frame && secondPlan) aligned = alignSamples(second.frame, secondPlan, plan);
  const isChange = look.colourBy === 'since_start' || look.colourBy === 'since_k' || look.colourBy === 'other_run';
  const part = picture.gradient ?? picture.update;
  const scaled = part && (part.plan === null || part.plan === plan.number) ? part.content : null;
  return {
    plan,
    frame: frame!,
    second: aligned,
    weights: isChange ? [1, -1] : [1, 0],
    scaled: look.colourBy === 'gradient' || look.colourBy === 'update' ? scaled : undefined,
  };
}

export function plateLook(served: Served, boxes: readonly Box[], coloured: Coloured): PlateLook {
  const { look, statistics, picture } = served;
  const { plan } = coloured;
  const cells = picture.cells?.plan === plan.number ? picture.cells.content : null;
  const use = look.source === 'cells_mean' ? 'mean' : look.source === 'cells_absmax' ? 'absmax' : 'extremes';
  const facts = cells ? cellFacts(cells, plan, use, look.scale) : new Map<number, CellFacts>();
  const values = boxes.map((box) => plateScale(coloured, plan.tensors[box.tensor]!, statistics, look.scale));
  const cellScales = boxes.map((box) => facts.get(box.tensor)?.scale ?? 0);
  if (look.scale === 'shared') {
    values.fill(sharedScale(values));
    if (use !== 'extremes') cellScales.fill(sharedScale(cellScales));
  }
  const plates = boxes.map((box, index): TensorLook => {
    const tensor = plan.tensors[box.tensor]!;
    const fact = facts.get(box.tensor);
    const cellScale = fact ? cellScales[index]! * 2 ** -fact.exponent : 0;
    const exponent = coloured.scaled ? coloured.scaled.exponents[box.tensor]! : 0;
    return {
      value: fact && use !== 'extremes' ? cellScales[index]! : values[index]!,
      scale: values[index]! * 2 ** -exponent,
      meanScale: use === 'mean' ? cellScale : 0,
      cellScale: use === 'mean' ? 0 : cellScale,
      missing: isMissing(coloured, tensor),
      moved: coloured.weights[1] < 0 && hasMoved(coloured, tensor, statistics),
    };
  });
  return {
    plates,
    coloured,
    weights: coloured.weights,
    scaledBase: coloured.scaled === undefined ? null : movingSamples(plan, 'values'),
    source: look.source,
    hasCells: cells !== null && (use === 'mean' || cells.absmax !== null),
    sortRows: look.sort === 'rows' || look.sort === 'both',
    sortColumns: look.sort === 'columns' || look.sort === 'both',
  };
}

/** Where each box's rows and columns begin in the list of orders, and how long that is. */
export function orderStarts(boxes: readonly Box[], plan: Plan): { starts: number[]; length: number } {
  let length = 0;
  const starts = boxes.map((box) => {
    const [rows, columns] = plan.tensors[box.tensor]!.grid;
    const start = length;
    length += rows + columns;
    return start;
  });
  return { starts, length };
}

/** Order and share of each row and column as pairs; null where no norms were recorded. */
export function ordersOf(
  { picture, positions, look }: Served,
  boxes: readonly Box[],
  plan: Plan,
  length: number,
): Uint16Array | null {
  const norms = picture.norms?.plan === plan.number ? picture.norms.content : null;
  if (!norms) return null;
  const pairs = new Uint16Array(length * 2);
  let at = 0;
  for (const box of boxes) {
    const tensor = plan.tensors[box.tensor]!;
    for (const [axis, count] of [['rows', tensor.grid[0]], ['columns', tensor.grid[1]]] as const) {
      // Columns of kernels are no columns that one could move.
      const hasNorms = axis === 'rows' || box.tile === null;
      const known = hasNorms ? sampledNorms(plan, tensor, positions, norms, axis, look.colourBy === 'gradient') : null;
      const shares = sharesOf(known, count);
      for (const [place, index] of orderOf(known, count, bordersOf(box, tensor, axis)).entries()) {
        pairs[(at + place) * 2] = index;
        pairs[(at + place) * 2 + 1] = shares[place]!;
      }
      at += count;
    }
  }
  return pairs;
}
