/**
 * One transformer layer around its stretch of the spine: norms on it, attention to the left, MLP to the
 * right. Data leaves the spine on a bus, passes the blocks from the outermost inward and comes back.
 */

import type { Block } from '../data/types';
import { rectOf, union, type Box, type Label, type Line, type Region } from './boxes';
import { boxLabel, splitLabels } from './generic';
import { placeUnit, type Unit } from './units';

/** From the spine's edge to the nearest block. */
const ARM = 3.2;
const UNIT_GAP = 2.6;
const ROW_GAP = 3.4;
/** From a bus down to the blocks; leaves room for their labels. */
const DROP = 3;
const SPINE_STEP = 1.5;
/** Between the blocks of one layer and the next on the same side. */
const LAYER_GAP = 2.6;
const GROUND_MARGIN = 0.9;
/** Sides with more blocks than any dense layer has (experts) wrap, into about a square but not below this width. */
const LEAST_LIMIT = 90;
const MOST_IN_ONE_ROW = 6;

export interface LayerUnits {
  layer: number;
  /** Norms before attention, between, and after the MLP. */
  norms: [Unit[], Unit[], Unit[]];
  /** In the order of the flow; the last is the one that writes back into the spine. */
  attention: Unit[];
  mlp: Unit[];
}

/** How far down each lane is used; the next layer starts below all of them. */
export interface Lanes {
  spine: number;
  left: number;
  right: number;
}

export interface PlacedLayer {
  boxes: Box[];
  lines: Line[];
  labels: Label[];
  region: Region;
  /** where its stretch of the spine begins */
  top: number;
  lanes: Lanes;
}

type Side = 'left' | 'right';

interface PlacedSide {
  boxes: Box[];
  lines: Line[];
  /** y at which the data is back on the spine, and the lowest edge of the blocks. */
  back: number;
  bottom: number;
}

/** Rows of units, each from the spine outward. The first row has the last unit of the flow innermost. */
function sideRows(units: readonly Unit[]): Unit[][] {
  const area = units.reduce((sum, unit) => sum + (unit.width + UNIT_GAP) * (unit.height + ROW_GAP), 0);
  const limit = units.length > MOST_IN_ONE_ROW ? Math.max(LEAST_LIMIT, Math.sqrt(area)) : Infinity;
  const rows: Unit[][] = [[]];
  let width = 0;
  for (const unit of [...units].reverse()) {
    if (rows.at(-1)!.length > 0 && width + unit.width > limit) {
      rows.push([]);
      width = 0;
    }
    rows.at(-1)!.push(unit);
    width += unit.width + UNIT_GAP;
  }
  return rows;
}

export function sideWidth(units: readonly Unit[]): number {
  if (units.length === 0) return 0;
  const widths = sideRows(units).map((row) => row.reduce((sum, unit) => sum + unit.width + UNIT_GAP, -UNIT_GAP));
  return ARM + Math.max(...widths);
}

function placeSide(units: readonly Unit[], side: Side, spineX: number, half: number, bus: number): PlacedSide {
  const sign = side === 'left' ? -1 : 1;
  const edge = spineX + sign * half;
  const boxes: Box[] = [];
  const lines: Line[] = [];
  const rows = sideRows(units);
  const inner = rows[0]![0]!;
  const top = bus - DROP;
  const back = top - inner.boxes[0]!.height / 2;
  let y = top;
  let bottom = top;
  rows.forEach((row, rowNumber) => {
    let x = edge + sign * ARM;
    row.forEach((unit, column) => {
      const left = side === 'left' ? x - unit.width : x;
      boxes.push(...placeUnit(unit, left, y));
      bottom = Math.min(bottom, y - unit.height);
      if (rowNumber === 0) lines.push(...sideLines(unit, { side, left, top: y, bus, back, column, row, edge, spineX }));
      x += sign * (unit.width + UNIT_GAP);
    });
    y = bottom - ROW_GAP;
  });
  lines.unshift(groundOf(boxes, inner.block));
  return { boxes, lines, back, bottom };
}

/** A tinted ground holds a side's blocks together, also where they are too small to tell apart. */
function groundOf(boxes: readonly Box[], block: Block): Line {
  const rect = union(boxes.map(rectOf));
  const y = (rect.top + rect.bottom) / 2;
  return {
    kind: 'ground',
    points: [
      [rect.left - GROUND_MARGIN, y],
      [rect.right + GROUND_MARGIN, y],
    ],
    block,
    arrow: false,
    thickness: rect.top - rect.bottom + 2 * GROUND_MARGIN,
  };
}

interface SidePlace {
  side: Side;
  left: number;
  top: number;
  bus: number;
  back: number;
  column: number;
  row: readonly Unit[];
  edge: number;
  spineX: number;
}

/** The lines of one unit: fed from the bus if it reads the spine, and passing on to its inner neighbour. */
function sideLines(unit: Unit, place: SidePlace): Line[] {
  const { side, left, top, bus, back, column, row, edge, spineX } = place;
  const sign = side === 'left' ? -1 : 1;
  const block = unit.block;
  const lines: Line[] = [];
  const reads = row.length === 1 || column > 0;
  const plate = unit.boxes[0]!;
  if (reads) {
    const centre = left + plate.x;
    lines.push({
      kind: 'flow',
      points: [
        [spineX, bus],
        [centre, bus],
        [centre, top],
      ],
      block,
      arrow: true,
      thickness: 0.5,
    });
  }
  const innerEdge = side === 'left' ? left + unit.width : left;
  const target = column === 0 ? edge : innerEdge - sign * UNIT_GAP;
  // Queries, keys and values reach the projection together: only the innermost of them draws the arrow.
  if (column <= 1) {
    const y = Math.max(back, top - unit.height + 0.5);
    lines.push({ kind: 'flow', points: [[innerEdge, y], [target, y]], block, arrow: true, thickness: 0.5 });
  }
  return lines;
}

/** Strips across the spine, from y downward; returns the y below them. */
function placeNorms(units: readonly Unit[], spineX: number, y: number, boxes: Box[]): number {
  for (const unit of units) {
    boxes.push(...placeUnit(unit, spineX - unit.width / 2, y));
    y -= unit.height + SPINE_STEP;
  }
  return y;
}

/** Places a layer as high as the lanes allow. `half` is half of the spine's width. */
export function placeLayer(units: LayerUnits, spineX: number, half: number, free: Lanes): PlacedLayer {
  const boxes: Box[] = [];
  const lines: Line[] = [];
  const heightOf = (list: readonly Unit[]) => list.reduce((sum, unit) => sum + unit.height + SPINE_STEP, 0);
  // The left lane limits the first bus, the right lane the second; both move with the layer's start.
  let start = Math.min(free.spine, free.left + heightOf(units.norms[0]));
  const draft = spineDepth(units, heightOf);
  if (units.mlp.length > 0) start = Math.min(start, free.right + draft);
  let y = placeNorms(units.norms[0], spineX, start, boxes);
  let left = free.left;
  let right = free.right;
  if (units.attention.length > 0) {
    const side = placeSide(units.attention, 'left', spineX, half, y);
    boxes.push(...side.boxes);
    lines.push(...side.lines);
    left = side.bottom - LAYER_GAP;
    y = side.back - SPINE_STEP * 1.4;
  }
  y = placeNorms(units.norms[1], spineX, y, boxes);
  if (units.mlp.length > 0) {
    const side = placeSide(units.mlp, 'right', spineX, half, y);
    boxes.push(...side.boxes);
    lines.push(...side.lines);
    right = side.bottom - LAYER_GAP;
    y = side.back - SPINE_STEP * 1.4;
  }
  y = placeNorms(units.norms[2], spineX, y, boxes);
  const rect = union(boxes.map(rectOf));
  return {
    boxes,
    lines,
    labels: boxes.flatMap((box) => [boxLabel(box), ...splitLabels(box)]),
    region: { title: `layer ${units.layer}`, layer: units.layer, rect },
    top: start,
    lanes: { spine: y - SPINE_STEP, left, right },
  };
}

/** From the layer's start down to its second bus. */
function spineDepth(units: LayerUnits, heightOf: (list: readonly Unit[]) => number): number {
  let depth = heightOf(units.norms[0]);
  if (units.attention.length > 0) {
    const inner = units.attention.at(-1)!;
    depth += DROP + inner.boxes[0]!.height / 2 + SPINE_STEP * 1.4;
  }
  return depth + heightOf(units.norms[1]);
}
