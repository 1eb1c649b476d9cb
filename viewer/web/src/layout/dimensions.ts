/** The names of a tensor's axes, from its role and the sizes that its model has in common. */

import type { TensorInfo } from '../data/types';
import { matrixShape, overlaps, rectOf, type Box, type Label, type Line, type Rect } from './boxes';
import { BLOCK_HUES, type Rgb } from './colour';
import { commonWidth } from './parts';
import { isVector } from './units';

export type DimensionKind = 'model' | 'vocabulary' | 'positions' | 'heads' | 'hidden' | 'experts' | 'channels' | 'other';

/** One hue per dimension, wherever it stands. */
export const DIMENSION_HUES: Record<DimensionKind, Rgb> = {
  model: [0.86, 0.89, 0.95],
  vocabulary: BLOCK_HUES.embedding,
  positions: [0.95, 0.87, 0.4],
  heads: BLOCK_HUES.attention,
  hidden: BLOCK_HUES.mlp,
  experts: BLOCK_HUES.norm,
  channels: BLOCK_HUES.other,
  other: [0.66, 0.71, 0.78],
};

export interface Dimension {
  kind: DimensionKind;
  /** e.g. "d_model 768", "heads 12 × 64" */
  text: string;
}

/** Extents that name an axis wherever they are met. */
export interface ModelSizes {
  model: number | null;
  vocabulary: number | null;
  hidden: number | null;
  heads: number | null;
}

/** A matrix's rows and columns as it is stored; a vector has columns only. */
export interface Axes {
  rows: Dimension | null;
  columns: Dimension;
}

const count = (size: number) => size.toLocaleString('en-US');
const product = (extents: readonly number[]) => extents.map(count).join(' × ');

export function sizesOf(tensors: readonly TensorInfo[]): ModelSizes {
  const withRole = (...roles: string[]) => tensors.find((one) => roles.includes(one.role) && one.shape.length === 2);
  const layered = tensors.filter((tensor) => tensor.layer !== null);
  const embedding = withRole('token_embedding');
  const up = withRole('mlp_up', 'mlp_gate');
  const query = withRole('attention_query');
  const fused = withRole('attention_qkv');
  const isTransformer = embedding !== undefined || query !== undefined || fused !== undefined;
  return {
    model: isTransformer ? (commonWidth(layered) ?? embedding?.shape[1] ?? null) : null,
    vocabulary: embedding?.shape[0] ?? null,
    hidden: up ? outputsOf(up) : null,
    heads: query?.row_groups ?? (fused ? fused.row_groups / 3 : null),
  };
}

const outputsOf = (tensor: TensorInfo) => matrixShape(tensor)[tensor.transposed ? 1 : 0];

export function axesOf(tensor: TensorInfo, sizes: ModelSizes): Axes {
  if (isVector(tensor)) return { rows: null, columns: vectorAxis(tensor, sizes) };
  const [out, inner] = matrixAxes(tensor, sizes);
  return tensor.transposed ? { rows: inner, columns: out } : { rows: out, columns: inner };
}

function vectorAxis(tensor: TensorInfo, sizes: ModelSizes): Dimension {
  const length = matrixShape(tensor)[1];
  if (tensor.shape.length > 1) return { kind: 'other', text: product(tensor.shape) };
  if (tensor.block === 'attention' && tensor.column_groups > 1) return headsAxis(length, tensor.column_groups, sizes);
  return bySize(length, sizes, tensor.block === 'norm' ? 'channels' : 'length');
}

function matrixAxes(tensor: TensorInfo, sizes: ModelSizes): [Dimension, Dimension] {
  const { role, shape } = tensor;
  const [rows, columns] = matrixShape(tensor);
  const [out, inner] = tensor.transposed ? [columns, rows] : [rows, columns];
  const inputs = bySize(inner, sizes, 'inputs');
  const outputs = bySize(out, sizes, 'outputs');
  if (role === 'token_embedding') return [{ kind: 'vocabulary', text: `vocabulary ${count(out)}` }, inputs];
  if (role === 'position_embedding') return [{ kind: 'positions', text: `positions ${count(out)}` }, inputs];
  if (role === 'head' && out !== sizes.vocabulary) return [{ kind: 'vocabulary', text: `classes ${count(out)}` }, inputs];
  if (role === 'router') return [{ kind: 'experts', text: `experts ${count(out)}` }, inputs];
  if (role === 'conv') return convolutionAxes(tensor);
  if (shape.length > 2) {
    const kind = tensor.row_groups === shape[0] ? 'experts' : 'other';
    const text = kind === 'experts' ? `experts ${count(rows)}` : count(rows);
    return [{ kind, text }, { kind: 'other', text: product(shape.slice(1)) }];
  }
  if (tensor.block === 'attention' && tensor.row_groups > 1) {
    return [headsAxis(out, tensor.row_groups, sizes), inputs];
  }
  if (tensor.block === 'attention' && tensor.column_groups > 1) {
    return [outputs, headsAxis(inner, tensor.column_groups, sizes)];
  }
  return [outputs, inputs];
}

function convolutionAxes({ shape }: TensorInfo): [Dimension, Dimension] {
  const [out, inner, ...kernel] = shape as [number, number, ...number[]];
  return [
    { kind: 'channels', text: `channels out ${count(out)}` },
    { kind: 'channels', text: `channels in ${count(inner)}${kernel.length > 0 ? `, kernel ${product(kernel)}` : ''}` },
  ];
}

/** Three times as many groups as heads: Q, K and V in one. */
function headsAxis(extent: number, groups: number, sizes: ModelSizes): Dimension {
  const fused = sizes.heads !== null && groups === 3 * sizes.heads;
  const width = extent / groups;
  if (fused) return { kind: 'heads', text: `heads ${product([groups / 3, width])}` };
  const name = sizes.heads !== null && groups < sizes.heads ? 'key heads' : 'heads';
  return { kind: 'heads', text: `${name} ${product([groups, width])}` };
}

function bySize(extent: number, sizes: ModelSizes, otherwise: string): Dimension {
  const { model, vocabulary, hidden } = sizes;
  if (extent === model) return { kind: 'model', text: `d_model ${count(extent)}` };
  if (extent === hidden) {
    const times = model !== null && extent % model === 0 ? `${extent / model} × d_model` : 'hidden';
    return { kind: 'hidden', text: `${times} ${count(extent)}` };
  }
  if (extent === vocabulary) return { kind: 'vocabulary', text: `vocabulary ${count(extent)}` };
  return { kind: otherwise === 'channels' ? 'channels' : 'other', text: `${otherwise} ${count(extent)}` };
}

export interface Marks {
  lines: Line[];
  labels: Label[];
}

/** Shown however far away its plate is. */
const ALWAYS = 1e6;
/** From a plate to its brackets, and the length of a bracket's ends. */
const OFFSET = 0.8;
const END = 0.5;

/** Brackets along a plate's lower and left side that name its axes, clear of the strips beside it. */
export function dimensionMarks(boxes: readonly Box[], box: Box, tensor: TensorInfo, sizes: ModelSizes): Marks {
  const { rows, columns } = axesOf(tensor, sizes);
  const whole = rectOf(box);
  const first = box.slices && box.slices[0]!.label !== '' ? rectOf(box.slices[0]!) : whole;
  const [across, down] = box.transposed ? [rows, columns] : [columns, rows];
  const marks: Marks = { lines: [], labels: [] };
  const near = boxes.flatMap((other) => (other === box ? [] : (other.slices ?? [other]).map(rectOf)));
  if (across) {
    const y = clear(near, { ...first, top: first.bottom, bottom: first.bottom - OFFSET - END }, 'bottom') + END;
    add(marks, across, [[first.left, y + END], [first.left, y], [first.right, y], [first.right, y + END]]); // prettier-ignore
  }
  if (down) {
    const x = clear(near, { ...first, right: first.left, left: first.left - OFFSET - END }, 'left') + END;
    add(marks, down, [[x + END, first.top], [x, first.top], [x, first.bottom], [x + END, first.bottom]]); // prettier-ignore
  }
  return marks;
}

/** The outer edge of a strip of ground beside a plate, moved past what stands there. */
function clear(others: readonly Rect[], strip: Rect, edge: 'bottom' | 'left'): number {
  const depth = OFFSET + END;
  for (let round = 0; round < 4; round += 1) {
    const inTheWay = others.filter((other) => overlaps(other, strip));
    if (inTheWay.length === 0) break;
    const past = Math.min(...inTheWay.map((other) => other[edge]));
    strip = edge === 'bottom' ? { ...strip, top: past, bottom: past - depth } : { ...strip, right: past, left: past - depth };
  }
  return strip[edge];
}

function add(marks: Marks, dimension: Dimension, points: [number, number][]): void {
  const hue = DIMENSION_HUES[dimension.kind];
  const [, from, to] = points as [[number, number], [number, number], [number, number], [number, number]];
  const isLevel = from[1] === to[1];
  marks.lines.push({
    ...{ kind: 'dimension', points, block: 'other', arrow: false, thickness: 0.14, from: [], to: [], hue },
  });
  marks.labels.push({
    text: dimension.text,
    x: (from[0] + to[0]) / 2,
    y: (from[1] + to[1]) / 2,
    priority: -1,
    span: ALWAYS,
    anchor: isLevel ? 'below' : 'beside',
    tone: 'plain',
    hue,
  });
}
