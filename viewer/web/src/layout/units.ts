/**
 * A module as one unit of the picture: its weight, with bias and other vectors as strips beside it.
 * A unit knows its own size and places its boxes once it is told where to be.
 */

import type { Block, TensorInfo } from '../data/types';
import { matrixShape, type Box } from './boxes';
import { sideLength, STRIP } from './size';

const STRIP_GAP = 0.45;
const PLATE_GAP = 1.2;

export interface Unit {
  /** Dotted name of the module. */
  module: string;
  block: Block;
  role: string;
  layer: number | null;
  width: number;
  height: number;
  /** Boxes with their centre measured from the unit's top left corner, y down negative. */
  boxes: Box[];
}

export interface UnitOptions {
  /** Draw matrices with their rows to the right (embeddings: tokens run along x). */
  transposed?: boolean;
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

const isVector = (tensor: TensorInfo) => matrixShape(tensor)[0] === 1;

/**
 * Whether modules of this model keep their outputs in rows (Linear: [out, in]) or columns
 * (Conv1D: [in, out]). A square matrix doesn't say, so the others vote.
 */
export function outputsInRows(groups: readonly TensorInfo[][]): boolean {
  let votes = 0;
  for (const group of groups) {
    const weight = group.find((tensor) => !isVector(tensor));
    const bias = group.find(isVector);
    if (!weight || !bias) continue;
    const [rows, columns] = matrixShape(weight);
    const [, length] = matrixShape(bias);
    if (rows !== columns) votes += length === rows ? 1 : length === columns ? -1 : 0;
  }
  return votes >= 0;
}

const ROLE_LABELS: Record<string, string> = {
  token_embedding: 'token embedding',
  position_embedding: 'position embedding',
  attention_qkv: 'qkv',
  attention_query: 'query',
  attention_key: 'key',
  attention_value: 'value',
  attention_projection: 'proj',
  mlp_up: 'up',
  mlp_gate: 'gate',
  mlp_down: 'down',
};

/** `isMain`: the tensor that stands for its module; the others go by their own name ("bias"). */
function labelOf(tensor: TensorInfo, isMain: boolean): string {
  if (!isMain) return leafOf(tensor.name);
  const name = ROLE_LABELS[tensor.role] ?? leafOf(moduleOf(tensor.name));
  return tensor.tied_to === null ? name : `${name} (tied to ${leafOf(moduleOf(tensor.tied_to))})`;
}

/** Q, K and V in one matrix: three equal parts along the side that is three times the other. */
function splitOf(tensor: TensorInfo): Box['split'] {
  if (tensor.role !== 'attention_qkv') return null;
  const [rows, columns] = matrixShape(tensor);
  if (rows === 3 * columns) return { axis: 'rows', parts: 3 };
  if (columns === 3 * rows) return { axis: 'columns', parts: 3 };
  return null;
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
    ghost: tensor.tied_to !== null,
  };
}

/** The unit of one module's tensors. `inRows` is what `outputsInRows` found. */
export function makeUnit(group: readonly TensorInfo[], inRows: boolean, options: UnitOptions = {}): Unit {
  const plates = group.filter((tensor) => !isVector(tensor));
  const vectors = group.filter(isVector);
  const boxes: Box[] = [];
  let x = 0;
  let height = 0;
  for (const plate of plates) {
    const transposed = options.transposed ?? false;
    const [rows, columns] = matrixShape(plate);
    const w = sideLength(transposed ? rows : columns);
    const h = sideLength(transposed ? columns : rows);
    boxes.push(boxOf(plate, true, { x: x + w / 2, y: -h / 2, width: w, height: h, transposed }));
    x += w + PLATE_GAP;
    height = Math.max(height, h);
  }
  let width = Math.max(x - PLATE_GAP, 0);
  const weight = plates.length === 1 ? plates[0]! : null;
  for (const vector of vectors) {
    const isMain = plates.length === 0 && vector === vectors[0];
    const [, length] = matrixShape(vector);
    const upright = weight !== null && isAlongRows(weight, length, inRows) !== (options.transposed ?? false);
    if (weight && upright) {
      const h = boxes[0]!.height;
      boxes.push(
        boxOf(vector, false, { x: width + STRIP_GAP + STRIP / 2, y: -h / 2, width: STRIP, height: h, transposed: true }),
      );
      width += STRIP_GAP + STRIP;
    } else {
      const w = weight ? boxes[0]!.width : (options.stripWidth ?? Math.max(sideLength(length), STRIP));
      const gap = height > 0 ? STRIP_GAP : 0;
      boxes.push(
        boxOf(vector, isMain, { x: w / 2, y: -(height + gap + STRIP / 2), width: w, height: STRIP, transposed: false }),
      );
      height += gap + STRIP;
      width = Math.max(width, w);
    }
  }
  const first = weight ?? group[0]!;
  return {
    module: moduleOf(group[0]!.name),
    block: first.block,
    role: first.role,
    layer: first.layer,
    width,
    height,
    boxes,
  };
}

function isAlongRows(weight: TensorInfo, length: number, inRows: boolean): boolean {
  const [rows, columns] = matrixShape(weight);
  if (rows === columns) return inRows;
  return length === rows;
}

/** The unit's boxes with its top left corner at (left, top). */
export function placeUnit(unit: Unit, left: number, top: number): Box[] {
  return unit.boxes.map((box) => ({ ...box, x: box.x + left, y: box.y + top }));
}
