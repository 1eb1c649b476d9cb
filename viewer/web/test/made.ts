/** Frames, runs and tail messages made for tests. */

import type { Frame, Plan, RunInfo, TailUpdate, TensorInfo } from '../src/data/types';
import type { Action } from '../src/state/reducer';

export function makeFrame(iteration: number, basis: number | null = null): Frame {
  return {
    iteration,
    plan: 0,
    tier: 'core',
    time_unix_s: 0,
    scalars: {},
    events: [],
    gradient_state: { default: 'used', exceptions: {}, reason: '' },
    values: new Uint16Array([iteration]),
    vectors: null,
    statistics: null,
    gradient_statistics: null,
    embedding:
      basis === null
        ? null
        : { tensor: 'wte', basis, exact: true, coordinates: new Float32Array(3), magnitude: new Float32Array(1), explained: [] },
  };
}

/** A plan of these tensors, in which nothing is frozen and nothing further has a place. */
export function planOf(tensors: readonly TensorInfo[]): Plan {
  const total = (array: TensorInfo['array']) =>
    tensors.reduce((sum, tensor) => sum + (tensor.array === array ? tensor.samples : 0), 0);
  return {
    number: 0,
    values: total('values'),
    vectors: total('vectors'),
    frozen_values: 0,
    frozen_vectors: 0,
    tensors: [...tensors],
    embedding_tokens: null,
    places: { cells: [], rows: [], columns: [], heads: [] },
    neighbour_tokens: null,
    frozen: { values: new Uint16Array(0), vectors: new Float32Array(0) },
  };
}

export function info(id: string, iterations: number[], status: RunInfo['status'] = 'recording'): RunInfo {
  return {
    id,
    run_id: id,
    name: id,
    format: '1.0',
    status,
    created_unix_s: 0,
    age_s: 2,
    description: {},
    cursor: '0',
    plan: 0,
    statistics: ['rms', 'absmax'],
    gradient_statistics: [],
    iterations,
    events: [],
    scalar_names: [],
    embedding: null,
    problem: null,
  };
}

export function update(run: string, iterations: number[], rest: Partial<TailUpdate> = {}): TailUpdate {
  return {
    run,
    cursor: '1',
    status: 'recording',
    age_s: 0,
    iterations,
    plan: 0,
    basis: null,
    scalars: [],
    events: [],
    committed_unix_s: null,
    ...rest,
  };
}

export const opened = (...infos: RunInfo[]): Action[] => [
  ...infos.map((one): Action => ({ type: 'opened', info: one, now_unix_s: 100 })),
  { type: 'selected', runs: infos.map((one) => one.id) },
];
