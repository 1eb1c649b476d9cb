/** The numbers that give the plates their colour: samples, their change, or samples of another quantity. */

import type { AlignedSamples } from '../data/align';
import type { ScaledSamples } from '../data/further';
import { halfToNumber } from '../data/half';
import { isLost, movingSamples, sampleAt } from '../data/samples';
import type { Frame, Plan, TensorInfo } from '../data/types';
import { blend } from './colour';

export interface Coloured {
  plan: Plan;
  frame: Frame;
  /** what is taken away, or what playback goes to; null where there is none */
  second: AlignedSamples | null;
  /** how much of the snapshot and of the second one: [1, 0], [1, -1], or two shares */
  weights: readonly [number, number];
  /** of gradient or update; undefined where samples are coloured, null where it was not recorded */
  scaled: ScaledSamples | null | undefined;
}

/** Whether a tensor has a number to colour at all. */
export function isMissing({ plan, frame, second, weights, scaled }: Coloured, tensor: TensorInfo): boolean {
  if (tensor.samples === 0 || isLost(plan, tensor)) return true;
  if (scaled !== undefined) return scaled === null || tensor.offset >= movingSamples(plan, tensor.array);
  if (weights[1] < 0 && (second === null || second.counterpart[tensor.index]! < 0)) return true;
  return sampleAt(frame, plan, tensor, tensor.offset) === null;
}

/** The number at `index` of the tensor's array; null if there is none. */
export function numberAt(coloured: Coloured, tensor: TensorInfo, index: number): number | null {
  const { plan, frame, second, weights, scaled } = coloured;
  if (scaled !== undefined) {
    if (scaled === null || index >= movingSamples(plan, tensor.array)) return null;
    const place = tensor.array === 'vectors' ? movingSamples(plan, 'values') + index : index;
    const bits = scaled.samples[place];
    return bits === undefined ? null : halfToNumber(bits) * 2 ** scaled.exponents[tensor.index]!;
  }
  const number = sampleAt(frame, plan, tensor, index);
  if (number === null || weights[1] === 0) return number;
  if (!second || second.counterpart[tensor.index]! < 0) return weights[1] < 0 ? null : number;
  const other = tensor.array === 'vectors' ? second.vectors[index]! : halfToNumber(second.values[index]!);
  return blend(number, other, weights);
}

/** All finite numbers of a tensor, as magnitudes. */
export function magnitudesOf(coloured: Coloured, tensor: TensorInfo): Float64Array {
  const found = new Float64Array(tensor.samples);
  let count = 0;
  for (let index = tensor.offset; index < tensor.offset + tensor.samples; index += 1) {
    const number = numberAt(coloured, tensor, index);
    if (number !== null && Number.isFinite(number)) found[count++] = Math.abs(number);
  }
  return found.subarray(0, count);
}

const MOVING = ['mean', 'std', 'rms', 'absmax', 'l2_norm'];

/** Whether the statistics of the whole tensor say that it is another than the second one. */
export function hasMoved({ frame, second }: Coloured, tensor: TensorInfo, statistics: readonly string[]): boolean {
  const before = second?.frame.statistics;
  const other = second?.counterpart[tensor.index] ?? -1;
  if (!before || !frame.statistics || other < 0) return false;
  return MOVING.some((key) => {
    const column = statistics.indexOf(key);
    if (column < 0) return false;
    const now = frame.statistics![tensor.index * statistics.length + column]!;
    const then = before[other * statistics.length + column]!;
    return Number.isFinite(now) && Number.isFinite(then) && now !== then;
  });
}
