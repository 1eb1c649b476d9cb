/** What is coloured, of which iteration, in what scale, of how much of the model: in words. */

import type { Plan, TensorInfo } from '../data/types';
import { cellNumbers, TYPICAL_PER_SCALE } from '../layout/celldata';
import { hasMoved, numberAt } from '../layout/coloured';
import { QUANTILE } from '../layout/scales';
import type { PlateLook, Served } from '../render/looks';
import type { ColourBy, ScaleMode, Sort, Source } from '../state/look';
import { count, number, percent } from './format';

export const COLOUR_NAMES: Record<ColourBy, string> = {
  value: 'value',
  gradient: 'gradient',
  update: 'update',
  since_start: 'change since the start',
  since_k: 'change since some snapshots ago',
  other_run: 'difference from the other run',
};

export const SOURCE_NAMES: Record<Source, string> = {
  auto: 'samples, extremes from afar',
  samples: 'samples only',
  cells_mean: 'cells: mean of all elements',
  cells_absmax: 'cells: largest of all elements',
};

export const SORT_NAMES: Record<Sort, string> = {
  none: 'as in the model',
  rows: 'rows by norm',
  columns: 'columns by norm',
  both: 'rows and columns by norm',
};

export const SCALE_NAMES: Record<ScaleMode, string> = {
  tensor: '3 rms of each tensor',
  shared: 'shared: their median',
  quantile: `${QUANTILE} quantile of each`,
  absolute: 'largest of each',
};

/** The ends of a scale where each tensor has its own. */
const SCALE_ENDS: Record<ScaleMode, string> = {
  tensor: '3 rms',
  shared: '3 rms',
  quantile: percent(QUANTILE),
  absolute: 'max',
};

const at = (iteration: number) => `iteration ${count(iteration)}`;

/** What is coloured, and of when it is. `nameOf` says what a run is called. */
export function colouredText({ picture, look }: Served, nameOf: (run: string) => string): string {
  const part = picture.gradient ?? picture.update;
  const { second } = picture;
  switch (look.colourBy) {
    case 'value':
      return second?.use === 'next' ? `values between ${count(picture.iteration)} and ${count(second.iteration)}` : 'values';
    case 'gradient':
    case 'update': {
      const name = look.colourBy;
      if (part?.failure) return `${name}: damaged in the run`;
      if (!part?.content || part.iteration === null) return `${name}: not recorded up to here`;
      return name === 'gradient' ? `gradient of ${at(part.iteration)}` : `update that led to ${at(part.iteration)}`;
    }
    case 'since_start':
    case 'since_k':
      return second ? `change since ${at(second.iteration)}` : 'change: nothing recorded before';
    case 'other_run':
      return second ? `difference from ${nameOf(second.run)} at ${at(second.iteration)}` : 'difference: choose a second run';
  }
}

function elements(tensors: readonly TensorInfo[]): [samples: number, all: number] {
  let samples = 0;
  let all = 0;
  for (const tensor of tensors) {
    if (tensor.samples === 0) continue;
    samples += tensor.samples;
    all += tensor.shape.reduce((product, extent) => product * extent, 1);
  }
  return [samples, all];
}

/** "1 of 13 elements", or that they are all there. */
export function shareText(tensors: readonly TensorInfo[]): string {
  const [samples, all] = elements(tensors);
  if (samples === all) return 'every element';
  return all < 2 * samples ? `${percent(samples / all)} of the elements` : `1 of ${count(Math.round(all / samples))} elements`;
}

/** Whether samples or cells are seen, and how much of the model they are. */
export function sourceText({ picture, look }: Served, plan: Plan, tensor: TensorInfo | null): string {
  const { cells } = picture;
  const samples = `${shareText(tensor ? [tensor] : plan.tensors)} sampled`;
  if (look.colourBy !== 'value' || look.source === 'samples') return samples;
  const held = cells?.content && cells.iteration !== null ? at(cells.iteration) : null;
  if (look.source === 'auto') {
    return held ? `${samples}; from afar extremes of every element (${held})` : samples;
  }
  if (!held) return `${samples}; cells: not recorded up to here`;
  const of = look.source === 'cells_mean' ? 'mean' : 'largest magnitude';
  return `cells: ${of} of every element around a sample (${held})`;
}

/** The same in a few words, for the line that is always there. */
export function shortSource({ picture, look }: Served, plan: Plan, tensor: TensorInfo | null): string {
  const { cells } = picture;
  const samples = shareText(tensor ? [tensor] : plan.tensors);
  if (look.colourBy !== 'value' || look.source === 'samples') return samples;
  const held = cells?.content && cells.iteration !== null ? at(cells.iteration) : null;
  if (look.source === 'auto') return held ? `${samples} · extremes of all (${held})` : samples;
  if (!held) return `${samples} · cells: not recorded up to here`;
  return `cells: ${look.source === 'cells_mean' ? 'mean' : 'largest'} of all elements (${held})`;
}

/** Which numbers of the cells are seen, where cells are. */
function cellsSeen({ picture, look }: Served): 'means' | 'largest' | null {
  if (look.colourBy !== 'value' || !picture.cells?.content) return null;
  if (look.source === 'cells_absmax') return 'largest';
  return look.source === 'cells_mean' ? 'means' : null;
}

/** One end of the scale in two words, where each tensor has its own. */
export function scaleEnd(served: Served): string {
  const cells = cellsSeen(served);
  const { scale } = served.look;
  const isWide = scale === 'tensor' || scale === 'shared';
  if (cells === 'means' && isWide) return '3 rms of means';
  return cells === 'largest' && isWide ? `${TYPICAL_PER_SCALE} × typical` : SCALE_ENDS[scale];
}

/** What the ends of the colours stand for. */
export function scaleText(served: Served): string {
  const cells = cellsSeen(served);
  const isLargest = cells === 'largest';
  const own = isLargest ? `${TYPICAL_PER_SCALE} times the typical cell` : cells ? '3 rms of the means of its cells' : '3 rms';
  const of = cells === 'means' ? 'the means of its cells' : isLargest ? 'its cells' : 'its tensor';
  const ends: Record<ScaleMode, string> = {
    tensor: cells === 'means' ? own : `${own} of its tensor`,
    shared: `the median of ${own} over all tensors`,
    quantile: `the ${QUANTILE} quantile of ${of}`,
    absolute: cells ? `the largest of ${of}` : 'the largest magnitude in its tensor',
  };
  const rule = `a colour is full at ${ends[served.look.scale]}`;
  return isLargest && (served.look.scale === 'tensor' || served.look.scale === 'shared') ? `${rule}, or at the largest` : rule;
}

/** By what rows and columns are sorted; empty where they are not. */
export function sortText({ picture, look }: Served): string {
  if (look.sort === 'none') return '';
  const { norms } = picture;
  if (!norms?.content || norms.iteration === null) return 'not sorted: no norms recorded up to here';
  const of = look.colourBy === 'gradient' ? 'gradient norm' : 'norm';
  const what = look.sort === 'both' ? 'rows and columns' : look.sort;
  return `${what} sorted by ${of} (${at(norms.iteration)})`;
}

/** What a cell shows besides the stored value. */
export function cellLines(
  served: Served,
  { coloured }: PlateLook,
  plan: Plan,
  tensor: TensorInfo,
  index: number,
  nameOf: (run: string) => string,
): [string, string][] {
  const lines: [string, string][] = [];
  const { look, picture } = served;
  const isMixed = picture.second?.use === 'next';
  if (tensor.samples === 0) return lines;
  if (look.colourBy !== 'value' || isMixed) {
    const shown = numberAt(coloured, tensor, tensor.offset + index);
    const isFloor = shown === 0 && tensor.array === 'values' && hasMoved(coloured, tensor, served.statistics);
    const floor = isFloor ? ' (less than float16 resolves)' : '';
    lines.push([colouredText(served, nameOf), shown === null ? 'not recorded' : number(shown) + floor]);
  }
  const cells = picture.cells?.plan === plan.number ? picture.cells : null;
  const numbers = cells?.content ? cellNumbers(cells.content, plan, tensor.index, index) : null;
  if (numbers) {
    const largest = numbers.absmax === null ? '' : ` · largest ${number(numbers.absmax)}`;
    lines.push([`its cell (${count(cells!.iteration!)})`, `mean ${number(numbers.mean)}${largest}`]);
  }
  return lines;
}
