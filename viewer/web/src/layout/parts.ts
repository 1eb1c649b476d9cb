/** Sorts a plan's tensors into the parts of a transformer. */

import type { TensorInfo } from '../data/types';
import type { LayerUnits } from './layer';
import { sideLength } from './size';
import { groupByModule, makeUnit, outputsInRows, type Unit } from './units';

export interface Parts {
  tokens: Unit[];
  positions: Unit[];
  layers: LayerUnits[];
  finalNorms: Unit[];
  heads: Unit[];
  /** What belongs to no part; shown below as a generic model. */
  rest: TensorInfo[];
  /** World width of the residual stream. */
  spineWidth: number;
}

/** True if roles and layers say enough to draw a transformer. */
export function isTransformer(tensors: readonly TensorInfo[]): boolean {
  const layered = tensors.filter((tensor) => tensor.layer !== null);
  return layered.some((tensor) => tensor.block === 'attention' || tensor.block === 'mlp');
}

/** Width of the residual stream: the embedding's columns, else the longest layer norm. */
function modelWidth(tensors: readonly TensorInfo[]): number {
  const embedding = tensors.find((tensor) => tensor.role === 'token_embedding');
  if (embedding && embedding.shape.length === 2) return embedding.shape[1]!;
  const norms = tensors.filter((tensor) => tensor.block === 'norm').map((tensor) => tensor.shape[0] ?? 1);
  return norms.length > 0 ? Math.max(...norms) : 64;
}

/** Readers of the spine first, writers last. */
const FLOW_ORDER: Record<string, number> = {
  router: 0,
  attention_query: 1,
  attention_key: 2,
  attention_value: 3,
  attention_qkv: 3,
  mlp_gate: 1,
  mlp_up: 2,
  expert: 3,
  attention_projection: 9,
  mlp_down: 9,
};

const inFlow = (a: Unit, b: Unit) => (FLOW_ORDER[a.role] ?? 5) - (FLOW_ORDER[b.role] ?? 5);

function layerOf(number: number, groups: readonly TensorInfo[][], inRows: boolean, spineWidth: number): LayerUnits {
  const firstIndex = (block: string) =>
    Math.min(...groups.filter((group) => group[0]!.block === block).map((group) => group[0]!.index), Infinity);
  const attentionStart = firstIndex('attention');
  const mlpStart = firstIndex('mlp');
  const layer: LayerUnits = { layer: number, norms: [[], [], []], attention: [], mlp: [] };
  for (const group of groups) {
    const { block, index } = group[0]!;
    if (block === 'norm') {
      const slot = index < attentionStart ? 0 : index < mlpStart ? 1 : 2;
      layer.norms[slot].push(makeUnit(group, inRows, { stripWidth: spineWidth }));
    } else if (block === 'attention') {
      layer.attention.push(makeUnit(group, inRows));
    } else {
      layer.mlp.push(makeUnit(group, inRows));
    }
  }
  placeLoneNorms(layer, attentionStart, mlpStart);
  layer.attention.sort(inFlow);
  layer.mlp.sort(inFlow);
  return layer;
}

/**
 * Some models register all norms of a layer first or last; of two that fell into one slot,
 * one belongs before attention and one before the MLP.
 */
function placeLoneNorms(layer: LayerUnits, attentionStart: number, mlpStart: number): void {
  const [before, between, after] = layer.norms;
  if (!Number.isFinite(attentionStart) || !Number.isFinite(mlpStart) || between.length > 0) return;
  if (before.length === 2 && after.length === 0) between.push(before.pop()!);
  else if (after.length === 2 && before.length === 0) layer.norms = [[after[0]!], [after[1]!], []];
}

export function partsOf(tensors: readonly TensorInfo[]): Parts {
  const groups = groupByModule(tensors);
  const inRows = outputsInRows(groups);
  const spineWidth = sideLength(modelWidth(tensors));
  const byLayer = new Map<number, TensorInfo[][]>();
  const parts: Parts = {
    tokens: [],
    positions: [],
    layers: [],
    finalNorms: [],
    heads: [],
    rest: [],
    spineWidth,
  };
  for (const group of groups) {
    const first = group.find((tensor) => tensor.role !== 'bias') ?? group[0]!;
    if (first.layer !== null) {
      const list = byLayer.get(first.layer);
      if (list) list.push(group);
      else byLayer.set(first.layer, [group]);
    } else if (first.block === 'head') {
      parts.heads.push(makeUnit(group, inRows, { transposed: true }));
    } else if (first.role === 'token_embedding') {
      parts.tokens.push(makeUnit(group, inRows, { transposed: true }));
    } else if (first.block === 'embedding') {
      parts.positions.push(makeUnit(group, inRows, { transposed: true }));
    } else if (first.block === 'norm') {
      parts.finalNorms.push(makeUnit(group, inRows, { stripWidth: spineWidth }));
    } else {
      parts.rest.push(...group);
    }
  }
  parts.layers = [...byLayer]
    .sort(([a], [b]) => a - b)
    .map(([number, list]) => layerOf(number, list, inRows, spineWidth));
  return parts;
}
