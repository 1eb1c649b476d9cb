/**
 * A module as one unit of the picture: its weight, with bias and other vectors as strips beside it.
 * A unit knows its own size and places its boxes once it is told where to be.
 */

import type { Block, TensorInfo } from '../data/types';
import { matrixShape, type Box, type Slice } from './boxes';
import { sideLength, STRIP } from './size';

const STRIP_GAP = 0.45;
const PLATE_GAP = 1.2;
/** Between Q, K and V where they are one tensor; as far as separate ones stand apart. */
export const SLICE_GAP = 2.6;
/** A strip longer than this is folded into lines. */
const LONGEST_STRIP = 46;
const FOLDED_STRIP = 30;
const FOLD_GAP = 0.2;
/** Height of one matrix of a stack, e.g. of an expert. */
const LANE = 1.6;
const MOST_STACK = 60;
/** Larger kernels are matrices in their own right. */
const MOST_KERNEL = 15;

export interface Unit {
  /** Dotted name of the module. */
  module: string;
  block: Block;
  role: string;
  layer: number | null;
  width: number;
  height: number;
  /** Extent of what it reads and of what it gives. */
  inputs: number;
  outputs: number;
  /** Boxes with their centre measured from the unit's top left corner, y down negative. */
  boxes: Box[];
}

export interface UnitOptions {
  /** Where a matrix has its outputs: down its side, or along its top as a writer has them whose inputs come sideways. */
  outputs?: 'down' | 'across';
  /** Data passes it from right to left, so that what stands at its outputs is on its left. */
  mirrored?: boolean;
  /** Width of all strips of a unit that has only vectors (norms). */
  stripWidth?: number;
}

export function moduleOf(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot < 0 ? name : name.slice(0, dot);
}

const leafOf = (name: string) => name.slice(name.lastIndexOf('.') + 1);

/** Tensors of one module, in plan order. */
export function groupByModule(tensors: readonly TensorInfo[]): TensorInfo[][] {
  const groups = new Map<string, TensorInfo[]>();
  for (const tensor of tensors) {
    const module = moduleOf(tensor.name);
    const group = groups.get(module);
    if (group) group.push(tensor);
    else groups.set(module, [tensor]);
  }
  return [...groups.values()];
}

export const isVector = (tensor: TensorInfo) => matrixShape(tensor)[0] === 1;

const ROLE_LABELS: Record<string, string> = {
  token_embedding: 'token embedding',
  position_embedding: 'position embedding',
  attention_query: 'Q',
  attention_key: 'K',
  attention_value: 'V',
  attention_qkv: 'QKV',
  attention_projection: 'proj',
  mlp_up: 'up',
  mlp_gate: 'gate',
  mlp_down: 'down',
};
const PART_NAMES = ['Q', 'K', 'V'];

/** `isMain`: the tensor that stands for its module; the others go by their own name ("bias"). */
function labelOf(tensor: TensorInfo, isMain: boolean): string {
  const module = leafOf(moduleOf(tensor.name));
  const own = ROLE_LABELS[tensor.role] ?? (/^\d+$/.test(module) ? moduleOf(tensor.name).split('.').slice(-2).join('.') : module);
  if (tensor.shape.length === 3 && tensor.row_groups === tensor.shape[0]) {
    return `${leafOf(tensor.name)} × ${tensor.shape[0]}`;
  }
  if (!isMain) return ROLE_LABELS[tensor.role] ?? leafOf(tensor.name);
  return tensor.tied_to === null ? own : `${own} (tied to ${leafOf(moduleOf(tensor.tied_to))})`;
}

/** (out, in) of a matrix. */
export function outIn(tensor: TensorInfo): [number, number] {
  const [rows, columns] = matrixShape(tensor);
  return tensor.transposed ? [columns, rows] : [rows, columns];
}

/** Heads or experts, where each of them has the same number of samples. */
function splitOf(tensor: TensorInfo): Box['split'] {
  const { grid, transposed } = tensor;
  const [out, inner] = transposed ? (['columns', 'rows'] as const) : (['rows', 'columns'] as const);
  const sampled = { rows: grid[0], columns: grid[1] };
  const parts = isFused(tensor) ? tensor.row_groups / 3 : tensor.row_groups;
  if (parts > 1 && sampled[out] % tensor.row_groups === 0) return { axis: out, parts };
  const along = isVector(tensor) ? 'columns' : inner;
  if (tensor.column_groups > 1 && sampled[along] % tensor.column_groups === 0) {
    return { axis: along, parts: tensor.column_groups };
  }
  return null;
}

/** Kernels are shown as tiles where all of their elements are recorded. */
function tileOf(tensor: TensorInfo): Box['tile'] {
  const [, columns] = matrixShape(tensor);
  if (tensor.role !== 'conv' || tensor.shape.length < 3 || tensor.shape.length > 4) return null;
  const [high, wide] = [tensor.shape.length === 4 ? tensor.shape[2]! : 1, tensor.shape.at(-1)!];
  if (tensor.grid[1] !== columns || high * wide === 1 || Math.max(high, wide) > MOST_KERNEL) return null;
  return [high, wide];
}

/** Queries, keys and values in one matrix, each with as many samples as the others. */
function isFused(tensor: TensorInfo): boolean {
  const { grid, row_groups, transposed } = tensor;
  const sampled = transposed ? grid[1] : grid[0];
  return tensor.role === 'attention_qkv' && row_groups % 3 === 0 && sampled % 3 === 0 && sampled > 0;
}

type Place = Pick<Box, 'x' | 'y' | 'width' | 'height' | 'transposed'>;

function boxOf(tensor: TensorInfo, isMain: boolean, place: Place): Box {
  return {
    tensor: tensor.index,
    ...place,
    block: tensor.block,
    layer: tensor.layer,
    label: labelOf(tensor, isMain),
    split: splitOf(tensor),
    slices: null,
    tile: tileOf(tensor),
    ghost: tensor.tied_to !== null,
  };
}

/** The unit of one module's tensors. */
export function makeUnit(group: readonly TensorInfo[], options: UnitOptions = {}): Unit {
  const plates = group.filter((tensor) => !isVector(tensor));
  const vectors = group.filter(isVector);
  const weight = plates.length === 1 ? plates[0]! : null;
  const boxes: Box[] = [];
  let size = { width: 0, height: 0 };
  if (weight && isFused(weight)) size = placeFused(weight, vectors, boxes);
  else size = placeVectors(vectors, weight, placePlates(plates, options, boxes), options, boxes);
  const first = weight ?? group[0]!;
  const [outputs, inputs] = isVector(first) ? [matrixShape(first)[1], matrixShape(first)[1]] : outIn(first);
  return {
    module: moduleOf(group[0]!.name),
    block: first.block,
    role: first.role,
    layer: first.layer,
    ...size,
    inputs,
    outputs,
    boxes: options.mirrored ? boxes.map((box) => ({ ...box, x: size.width - box.x })) : boxes,
  };
}

interface Size {
  width: number;
  height: number;
}

function placePlates(plates: readonly TensorInfo[], options: UnitOptions, boxes: Box[]): Size {
  let x = 0;
  let height = 0;
  for (const plate of plates) {
    const transposed = (options.outputs === 'across') !== plate.transposed && plate.role !== 'conv';
    const [w, h] = plateSize(plate, transposed);
    const box = boxOf(plate, true, { x: x + w / 2, y: -h / 2, width: w, height: h, transposed });
    // Several matrices of one module are told apart by their own names.
    boxes.push(plates.length > 1 && !box.label.includes('×') ? { ...box, label: leafOf(plate.name) } : box);
    x += w + PLATE_GAP;
    height = Math.max(height, h);
  }
  return { width: Math.max(x - PLATE_GAP, 0), height };
}

/** A stack of matrices is as wide as one of them, with a lane for each; kernels lie side by side. */
function plateSize(tensor: TensorInfo, transposed: boolean): [number, number] {
  const [rows, columns] = matrixShape(tensor);
  const tile = tileOf(tensor);
  if (tile) return [sideLength(columns / tile[0]), sideLength(rows * tile[0])];
  if (tensor.shape.length === 3 && tensor.role !== 'conv') {
    const side = sideLength(Math.max(tensor.shape[1]!, tensor.shape[2]!));
    return [side, Math.min(rows * LANE, MOST_STACK)];
  }
  return transposed ? [sideLength(rows), sideLength(columns)] : [sideLength(columns), sideLength(rows)];
}

/** Strips at the side of the weight that has their length, or under each other. */
function placeVectors(
  vectors: readonly TensorInfo[],
  weight: TensorInfo | null,
  size: Size,
  options: UnitOptions,
  boxes: Box[],
): Size {
  let { width, height } = size;
  const plate = weight ? boxes[0]! : null;
  for (const vector of vectors) {
    const isMain = boxes.length === 0;
    const [, length] = matrixShape(vector);
    if (weight && plate && isUpright(weight, length, options)) {
      boxes.push(
        boxOf(vector, false, {
          ...{ x: width + STRIP_GAP + STRIP / 2, y: plate.y, width: STRIP, height: plate.height, transposed: true },
        }),
      );
      width += STRIP_GAP + STRIP;
      continue;
    }
    const long = plate ? plate.width : (options.stripWidth ?? Math.max(sideLength(length), STRIP));
    const top = height > 0 ? height + STRIP_GAP : 0;
    const box = boxOf(vector, isMain, { x: long / 2, y: -(top + STRIP / 2), width: long, height: STRIP, transposed: false });
    const strip = long > LONGEST_STRIP ? folded(box, vector) : box;
    boxes.push(strip);
    height = top + strip.height;
    width = Math.max(width, strip.width);
  }
  return { width, height };
}

/** Whether a vector of this length stands upright beside its weight: where the weight's outputs go down. */
function isUpright(weight: TensorInfo, length: number, options: UnitOptions): boolean {
  const [out, inner] = outIn(weight);
  const isOutput = length === out || length !== inner;
  const down = options.outputs !== 'across' || weight.role === 'conv';
  return isOutput === down && (length === out || length === inner);
}

/** A long strip as lines of text: its samples in equal lines under each other. */
function folded(box: Box, tensor: TensorInfo): Box {
  const samples = tensor.grid[1];
  const lines = Math.max(Math.min(Math.ceil(box.width / FOLDED_STRIP), samples), 1);
  const width = box.width / lines;
  const [left, top] = [box.x - box.width / 2, box.y + box.height / 2];
  const slices: Slice[] = [];
  for (let line = 0; line < lines; line += 1) {
    const column = Math.floor((line * samples) / lines);
    const columns = Math.floor(((line + 1) * samples) / lines) - column;
    const y = top - line * (STRIP + FOLD_GAP) - STRIP / 2;
    slices.push({ x: left + width / 2, y, width, height: STRIP, row: 0, rows: 1, column, columns, label: '' });
  }
  const height = lines * (STRIP + FOLD_GAP) - FOLD_GAP;
  return { ...box, x: left + width / 2, y: top - height / 2, width, height, slices, split: null };
}

/** One tensor as three plates side by side, each with its part of the bias: one lane is one head in all of them. */
function placeFused(weight: TensorInfo, vectors: readonly TensorInfo[], boxes: Box[]): Size {
  const [out, inner] = outIn(weight);
  const [w, h] = [sideLength(inner), sideLength(out / 3)];
  const beside = vectors.filter((vector) => matrixShape(vector)[1] === out && vector.grid[1] % 3 === 0);
  const step = w + beside.length * (STRIP_GAP + STRIP) + SLICE_GAP;
  const parts = (tensor: TensorInfo, x: number, width: number): Slice[] => {
    const [rows, columns] = tensor.grid;
    const byColumns = isVector(tensor) || tensor.transposed;
    const count = (byColumns ? columns : rows) / 3;
    return PART_NAMES.map((label, part) => ({
      ...{ x: x + part * step, y: -h / 2, width, height: h, label },
      ...(byColumns
        ? { row: 0, rows, column: part * count, columns: count }
        : { row: part * count, rows: count, column: 0, columns }),
    }));
  };
  const add = (tensor: TensorInfo, isMain: boolean, x: number, width: number, transposed: boolean) => {
    const slices = parts(tensor, x, width);
    const whole = { x: x + step, y: -h / 2, width: 2 * step + width, height: h, transposed };
    boxes.push({ ...boxOf(tensor, isMain, whole), split: partSplit(tensor), slices });
  };
  add(weight, true, w / 2, w, weight.transposed);
  beside.forEach((vector, number) => {
    add(vector, false, w + STRIP_GAP + STRIP / 2 + number * (STRIP_GAP + STRIP), STRIP, true);
  });
  const size = { width: 3 * step - SLICE_GAP, height: h };
  const others = vectors.filter((vector) => !beside.includes(vector));
  return others.length > 0 ? placeVectors(others, null, size, { stripWidth: w }, boxes) : size;
}

/** Heads within one of the three parts. */
function partSplit(tensor: TensorInfo): Box['split'] {
  if (!isVector(tensor)) return splitOf(tensor);
  const heads = tensor.column_groups / 3;
  if (heads <= 1 || tensor.grid[1] % tensor.column_groups !== 0) return null;
  return { axis: 'columns', parts: heads };
}

/** The unit's boxes with its top left corner at (left, top). */
export function placeUnit(unit: Unit, left: number, top: number): Box[] {
  return unit.boxes.map((box) => ({
    ...box,
    x: box.x + left,
    y: box.y + top,
    slices: box.slices && box.slices.map((slice) => ({ ...slice, x: slice.x + left, y: slice.y + top })),
  }));
}
