/** Where a sample is: in the snapshot, or in its plan if the tensor does not change. */

import { halfToNumber } from './half';
import type { Frame, Plan, TensorInfo } from './types';

/** How many of `values` or `vectors` each snapshot has; the plan holds those behind them. */
export function movingSamples(plan: Plan, array: TensorInfo['array']): number {
  return array === 'values' ? plan.values - plan.frozen_values : plan.vectors - plan.frozen_vectors;
}

/** Whether the plan should hold a tensor's samples, and could not be read: there is nothing to show. */
export function isLost(plan: Plan, tensor: TensorInfo): boolean {
  return plan.frozen === null && tensor.samples > 0 && tensor.offset >= movingSamples(plan, tensor.array);
}

/** The sample at `index` of the tensor's array as a number; null if it is not there. */
export function sampleAt(frame: Frame, plan: Plan, tensor: TensorInfo, index: number): number | null {
  const behind = index - movingSamples(plan, tensor.array);
  const holder = behind >= 0 ? plan.frozen : frame;
  const place = behind >= 0 ? behind : index;
  if (tensor.array === 'vectors') return holder?.vectors?.[place] ?? null;
  const bits = holder?.values?.[place];
  return bits === undefined ? null : halfToNumber(bits);
}
