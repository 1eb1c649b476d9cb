/** What a layout is made of. World units; x to the right, y up (so the flow runs toward -y), z to the viewer. */

import type { Block, TensorInfo } from '../data/types';
import type { Rgb } from './colour';

/** One tensor as a flat plate whose front shows its samples. */
export interface Box {
  /** index in the plan */
  tensor: number;
  /** centre of the plate */
  x: number;
  y: number;
  width: number;
  height: number;
  /** The tensor's rows run to the right instead of down. */
  transposed: boolean;
  block: Block;
  layer: number | null;
  /** Short name on the label, e.g. "qkv". */
  label: string;
  /** Marks the borders of so many equal parts (heads, experts) along the rows or columns of each slice. */
  split: { axis: 'rows' | 'columns'; parts: number } | null;
  /** Where the tensor is shown in pieces that stand apart (Q, K, V): what each shows and where. Else null. */
  slices: Slice[] | null;
  /** Kernel height and width: every kernel is drawn as a tile of its own. */
  tile: [number, number] | null;
  /** An outline for a name that shares another tensor's weights. */
  ghost: boolean;
}

/** A range of a tensor's sampled rows and columns, on a plate of its own. */
export interface Slice {
  /** centre of its plate */
  x: number;
  y: number;
  width: number;
  height: number;
  row: number;
  rows: number;
  column: number;
  columns: number;
  /** "Q", "K" or "V" */
  label: string;
}

/** A ground is a filled rectangle behind blocks that belong together: two points and a thickness. */
export type LineKind = 'spine' | 'flow' | 'sum' | 'bracket' | 'tie' | 'ground' | 'dimension';

/** A path on the plane behind the plates. */
export interface Line {
  kind: LineKind;
  points: [number, number][];
  block: Block;
  arrow: boolean;
  /** world units */
  thickness: number;
  /** Tensors whose blocks it comes from and leads to; none for a line that is no flow. */
  from: number[];
  to: number[];
  /** Its own colour, where it has one. */
  hue?: Rgb;
}

export interface Label {
  text: string;
  x: number;
  y: number;
  /** the front plane if missing */
  z?: number;
  /** Lower wins where labels would overlap. */
  priority: number;
  /** World width of what it names: far away, a label wider than that is hidden. */
  span: number;
  /** Where the label lies: over its point, above it to the right ('corner') or left ('end'), left of it, right of it, or under it. */
  anchor: 'above' | 'corner' | 'end' | 'beside' | 'after' | 'below';
  /** Where else it may lie, if there is no room. */
  otherAnchors?: Label['anchor'][];
  /** Labels of one group are shown together or not at all. */
  group?: string;
  tone: 'title' | 'plain';
  /** What is shown where the whole text would cover what it names. */
  short?: string;
  /** Colour of its letters, where it has one. */
  hue?: Rgb;
}

export interface Rect {
  left: number;
  right: number;
  bottom: number;
  top: number;
}

/** A part that the camera can fly to. */
export interface Region {
  title: string;
  layer: number | null;
  rect: Rect;
}

/** The framed volume of the embedding cloud; a cube. */
export interface CloudFrame {
  x: number;
  y: number;
  size: number;
}

export interface Layout {
  boxes: Box[];
  lines: Line[];
  labels: Label[];
  regions: Region[];
  cloud: CloudFrame | null;
  /** everything but the cloud */
  core: Rect;
  bounds: Rect;
}

export function rectOf(box: Pick<Box, 'x' | 'y' | 'width' | 'height'>): Rect {
  return {
    left: box.x - box.width / 2,
    right: box.x + box.width / 2,
    bottom: box.y - box.height / 2,
    top: box.y + box.height / 2,
  };
}

export function union(rects: readonly Rect[]): Rect {
  if (rects.length === 0) return { left: 0, right: 1, bottom: 0, top: 1 };
  const result = { ...rects[0]! };
  for (const rect of rects) {
    result.left = Math.min(result.left, rect.left);
    result.right = Math.max(result.right, rect.right);
    result.bottom = Math.min(result.bottom, rect.bottom);
    result.top = Math.max(result.top, rect.top);
  }
  return result;
}

/** How large one world unit is when the bounds fill a window of this aspect and height 1. */
export function fitOf(bounds: Rect, aspect: number): number {
  return Math.min(aspect / (bounds.right - bounds.left), 1 / (bounds.top - bounds.bottom));
}

export function overlaps(a: Rect, b: Rect): boolean {
  return a.left < b.right && b.left < a.right && a.bottom < b.top && b.bottom < a.top;
}

/** A tensor seen as a matrix, as docs/HTTP.md has it: a vector is one row. */
export function matrixShape(tensor: Pick<TensorInfo, 'shape'>): [number, number] {
  const { shape } = tensor;
  const size = shape.reduce((product, extent) => product * extent, 1);
  if (shape.length <= 1) return [1, size];
  const rows = shape[0]!;
  return [rows, rows > 0 ? size / rows : 0];
}
