/** The samples of a snapshot in the order of another plan, so that two can be compared place by place. */

import { movingSamples } from './samples';
import type { Frame, Plan, TensorInfo } from './types';

export interface AlignedSamples {
  frame: Frame;
  /** float16 bit patterns, also of what the plan itself holds */
  values: Uint16Array;
  vectors: Float32Array;
  /** for each tensor of the plan the same one in the other plan; -1 where there is none like it */
  counterpart: Int32Array;
}

/** Samples of two plans lie at the same places of a tensor if its name, shape and grid are the same. */
function isAlike(a: TensorInfo, b: TensorInfo): boolean {
  const same = (x: readonly number[], y: readonly number[]) => x.length === y.length && x.every((n, i) => n === y[i]);
  return a.array === b.array && a.samples === b.samples && same(a.shape, b.shape) && same(a.grid, b.grid);
}

/** `values` or `vectors` of a snapshot with what its plan holds itself behind them. */
function wholeValues(frame: Frame, plan: Plan): Uint16Array | null {
  if (!frame.values) return null;
  if (plan.frozen_values === 0) return frame.values;
  const whole = new Uint16Array(plan.values);
  whole.set(frame.values);
  if (plan.frozen) whole.set(plan.frozen.values, movingSamples(plan, 'values'));
  return whole;
}

function wholeVectors(frame: Frame, plan: Plan): Float32Array | null {
  if (!frame.vectors) return null;
  if (plan.frozen_vectors === 0) return frame.vectors;
  const whole = new Float32Array(plan.vectors);
  whole.set(frame.vectors);
  if (plan.frozen) whole.set(plan.frozen.vectors, movingSamples(plan, 'vectors'));
  return whole;
}

/** `from` is the plan of the frame. A snapshot without values or vectors has none to compare. */
export function alignSamples(frame: Frame, from: Plan, to: Plan): AlignedSamples {
  const values = wholeValues(frame, from);
  const vectors = wholeVectors(frame, from);
  const counterpart = new Int32Array(to.tensors.length).fill(-1);
  const byName = from === to ? null : new Map(from.tensors.map((tensor) => [tensor.name, tensor]));
  for (const tensor of to.tensors) {
    const other = byName ? byName.get(tensor.name) : tensor;
    const isHere = tensor.array === 'values' ? values !== null : vectors !== null;
    if (other && isHere && tensor.samples > 0 && isAlike(tensor, other)) counterpart[tensor.index] = other.index;
  }
  const aligned: AlignedSamples = {
    frame,
    values: values ?? new Uint16Array(to.values),
    vectors: vectors ?? new Float32Array(to.vectors),
    counterpart,
  };
  if (from === to) return aligned;
  aligned.values = new Uint16Array(to.values);
  aligned.vectors = new Float32Array(to.vectors);
  for (const tensor of to.tensors) {
    const other = from.tensors[counterpart[tensor.index]!];
    if (!other) continue;
    const end = other.offset + other.samples;
    if (tensor.array === 'values') aligned.values.set(values!.subarray(other.offset, end), tensor.offset);
    else aligned.vectors.set(vectors!.subarray(other.offset, end), tensor.offset);
  }
  return aligned;
}
