/** Sorts a plan's tensors into the parts of a transformer. */

import type { TensorInfo } from '../data/types';
import { matrixShape } from './boxes';
import { sideLength } from './size';
import { sublayersOf, type LayerUnits } from './sublayers';
import { groupByModule, makeUnit, moduleOf, type Unit } from './units';

/** Layers of one kind in a row. A model has one stack, or an encoder and a decoder. */
export interface Stack {
  /** What tells it from the other stacks ("encoder"); empty if it is the only one. */
  name: string;
  tokens: Unit[];
  positions: Unit[];
  layers: LayerUnits[];
  finalNorms: Unit[];
  /** World width of its residual stream. */
  spineWidth: number;
}

export interface Parts {
  stacks: Stack[];
  heads: Unit[];
  /** What belongs to no part; shown below as a generic model. */
  rest: TensorInfo[];
}

/** True if roles and layers say enough to draw a transformer. */
export function isTransformer(tensors: readonly TensorInfo[]): boolean {
  return tensors.some(({ layer, block }) => layer !== null && (block === 'attention' || block === 'mlp'));
}

/** The length that most norms of these layers have. */
export function commonWidth(layered: readonly TensorInfo[]): number | null {
  const counts = new Map<number, number>();
  for (const tensor of layered) {
    if (tensor.block !== 'norm' || matrixShape(tensor)[0] !== 1) continue;
    const width = matrixShape(tensor)[1];
    counts.set(width, (counts.get(width) ?? 0) + 1);
  }
  const [common] = [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0]);
  return common?.[0] ?? null;
}

/** Width of a residual stream: that of its norms, else the embedding's columns. */
function modelWidth(layered: readonly TensorInfo[], all: readonly TensorInfo[]): number {
  const embedding = all.find((tensor) => tensor.role === 'token_embedding' && tensor.shape.length === 2);
  return commonWidth(layered) ?? embedding?.shape[1] ?? 64;
}

/** The path down to a layer's number. */
function stackPath(name: string): string {
  const parts = name.split('.');
  const numbered = parts.findIndex((part) => /^\d+$/.test(part));
  return parts.slice(0, Math.max(numbered, 0)).join('.');
}

/** For each path the first of its components in which it differs from the others. */
function stackNames(paths: readonly string[]): string[] {
  if (paths.length < 2) return [''];
  const split = paths.map((path) => path.split('.'));
  const depth = split[0]!.findIndex((part, index) => split.some((other) => other[index] !== part));
  return split.map((parts, number) => parts[Math.max(depth, 0)] ?? `stack ${number + 1}`);
}

export function partsOf(tensors: readonly TensorInfo[]): Parts {
  const layered = tensors.filter((tensor) => tensor.layer !== null);
  const paths = [...new Set(layered.map((tensor) => stackPath(tensor.name)))];
  const names = stackNames(paths);
  const stacks = paths.map((path, number): Stack => {
    const own = layered.filter((tensor) => stackPath(tensor.name) === path);
    const width = modelWidth(own, tensors);
    const byLayer = new Map<number, TensorInfo[]>();
    for (const tensor of own) {
      const list = byLayer.get(tensor.layer!);
      if (list) list.push(tensor);
      else byLayer.set(tensor.layer!, [tensor]);
    }
    return {
      name: names[number]!,
      tokens: [],
      positions: [],
      layers: [...byLayer].sort(([a], [b]) => a - b).map(([layer, list]) => sublayersOf(layer, groupByModule(list), width)),
      finalNorms: [],
      spineWidth: sideLength(width),
    };
  });
  const parts: Parts = { stacks, heads: [], rest: [] };
  const stackOf = (module: string, otherwise: number) => {
    const found = names.findIndex((name) => name !== '' && module.split('.').includes(name));
    return stacks.at(found >= 0 ? found : otherwise)!;
  };
  for (const group of groupByModule(tensors.filter((tensor) => tensor.layer === null))) {
    const first = group.find((tensor) => tensor.role !== 'bias') ?? group[0]!;
    const module = moduleOf(first.name);
    if (first.block === 'head') {
      parts.heads.push(makeUnit(group, { outputs: 'across' }));
    } else if (first.role === 'token_embedding') {
      stackOf(module, 0).tokens.push(makeUnit(group, { outputs: 'across' }));
    } else if (first.block === 'embedding') {
      stackOf(module, 0).positions.push(makeUnit(group, { outputs: 'across' }));
    } else if (first.block === 'norm') {
      const stack = stackOf(module, -1);
      const isEmbeddings = group[0]!.index < layered[0]!.index && stack === stacks[0];
      if (isEmbeddings) stack.layers[0]!.before.push(makeUnit(group, { stripWidth: stack.spineWidth }));
      else stack.finalNorms.push(makeUnit(group, { stripWidth: stack.spineWidth }));
    } else {
      parts.rest.push(...group);
    }
  }
  return parts;
}
