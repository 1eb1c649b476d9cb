/** What one end of a plate's colours stands for. */

import type { Frame, TensorInfo } from '../data/types';
import { tensorScale } from './colour';
import { isMissing, magnitudesOf, type Coloured } from './coloured';

/** How a tensor's own scale is found; `shared` is the median of those by `tensor`. */
export type ScaleRule = 'tensor' | 'shared' | 'quantile' | 'absolute';

export const QUANTILE = 0.99;

/** The scale of some magnitudes; 0 where there are none. */
export function scaleOf(magnitudes: Float64Array, rule: ScaleRule): number {
  if (magnitudes.length === 0) return 0;
  if (rule === 'quantile') return quantile(magnitudes, QUANTILE);
  let squares = 0;
  let largest = 0;
  for (const magnitude of magnitudes) {
    squares += magnitude * magnitude;
    if (magnitude > largest) largest = magnitude;
  }
  return rule === 'absolute' ? largest : tensorScale(Math.sqrt(squares / magnitudes.length), largest);
}

/** The value below which a share of the magnitudes lies; sorts them in place. */
export function quantile(magnitudes: Float64Array, share: number): number {
  if (magnitudes.length === 0) return 0;
  magnitudes.sort();
  return magnitudes[Math.min(Math.floor(share * magnitudes.length), magnitudes.length - 1)]!;
}

/** From the statistics of the whole tensor where they tell, else from its samples. */
export function plateScale(
  coloured: Coloured,
  tensor: TensorInfo,
  statistics: readonly string[],
  rule: ScaleRule,
): number {
  if (isMissing(coloured, tensor)) return 0;
  const isValue = coloured.scaled === undefined && coloured.weights[1] >= 0;
  const known = isValue && rule !== 'quantile' ? statisticScale(coloured.frame, tensor, statistics, rule) : null;
  return known ?? scaleOf(magnitudesOf(coloured, tensor), rule);
}

function statisticScale(
  frame: Frame,
  tensor: TensorInfo,
  statistics: readonly string[],
  rule: ScaleRule,
): number | null {
  const rms = statistics.indexOf('rms');
  const absmax = statistics.indexOf('absmax');
  if (!frame.statistics || rms < 0 || absmax < 0) return null;
  const row = tensor.index * statistics.length;
  const largest = frame.statistics[row + absmax]!;
  if (rule === 'absolute') return Number.isFinite(largest) ? largest : null;
  return tensorScale(frame.statistics[row + rms]!, largest);
}
