/**
 * One transformer layer around its stretch of the spine: norms on it, attention to the left, MLP to the
 * right. Data leaves the spine under its norm, comes into the readers from above, passes sideways through
 * the blocks toward the spine, and is added to the stream where a plus stands.
 */

import { rectOf, union, type Box, type Label, type Line, type Rect, type Region } from './boxes';
import { normLabels, plateLabels } from './names';
import { plusSign, ribbon, ribbonWidth } from './ribbons';
import type { LayerUnits, Sublayer } from './sublayers';
import { placeUnit, SLICE_GAP, type Unit } from './units';

/** From the spine's edge to the nearest block. */
const ARM = 3.4;
const UNIT_GAP = SLICE_GAP;
const ROW_GAP = 3.4;
/** From a bus down to the blocks; leaves room for their labels. */
const DROP = 3.2;
const SPINE_STEP = 1.5;
/** Between the blocks of one layer and the next on the same side. */
const LAYER_GAP = 2.8;
const GROUND_MARGIN = 0.9;
/** Room under experts for their number. */
const EXPERTS_LABEL = 6;
/** Sides with more blocks than any dense layer has (experts) wrap, into about a square but not below this width. */
const LEAST_LIMIT = 90;
const MOST_IN_ONE_ROW = 6;
/** Where along a reader's top the ribbon comes in: beside its label. */
const ENTRY = 0.72;

/** How far down each lane is used; the next layer starts below all of them. */
export interface Lanes {
  spine: number;
  left: number;
  right: number;
}

/** A stretch of the stream: where it is, how wide, and what wrote to it last. */
export interface Stream {
  x: number;
  half: number;
  /** Extent of the vectors in it. */
  width: number;
  lanes: Lanes;
  writers: number[];
  /** Ribbons into the stream that nothing has read yet. */
  unread: Line[];
}

export interface PlacedLayer {
  boxes: Box[];
  lines: Line[];
  labels: Label[];
  region: Region;
  /** where its stretch of the spine begins */
  top: number;
}

type Side = 'left' | 'right';

const sideOf = (sublayer: Sublayer): Side => (sublayer.kind === 'attention' ? 'left' : 'right');

export const tensorsIn = (units: readonly Unit[]): number[] =>
  units.flatMap((unit) => unit.boxes.map((box) => box.tensor));

/** Rows of units, each from the spine outward. The first row has the last unit of the flow innermost. */
function sideRows(all: readonly Unit[]): Unit[][] {
  const wraps = all.length > MOST_IN_ONE_ROW;
  // Where experts wrap into rows, their router stays with the first, which the stream comes into.
  const units = wraps ? all.filter((unit) => unit.role !== 'router') : all;
  const area = units.reduce((sum, unit) => sum + (unit.width + UNIT_GAP) * (unit.height + ROW_GAP), 0);
  const limit = wraps ? Math.max(LEAST_LIMIT, Math.sqrt(area)) : Infinity;
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
  if (wraps) rows[0]!.push(...all.filter((unit) => unit.role === 'router'));
  return rows;
}

/** How far a layer reaches from the spine's edge to one side. */
export function sideReach(layer: LayerUnits, side: Side): number {
  const widths = layer.sublayers
    .filter((sublayer) => sideOf(sublayer) === side)
    .flatMap(({ units }) => sideRows(units))
    .map((row) => row.reduce((sum, unit) => sum + unit.width + UNIT_GAP, -UNIT_GAP));
  return widths.length > 0 ? ARM + Math.max(...widths) : 0;
}

interface PlacedUnit {
  unit: Unit;
  boxes: Box[];
  rect: Rect;
}

/** Places a layer as high as the lanes allow, and moves the stream's lanes below it. */
export function placeLayer(units: LayerUnits, title: string, stream: Stream): PlacedLayer {
  const placed: PlacedLayer = {
    boxes: [],
    lines: [],
    labels: [],
    region: { title, layer: units.layer, rect: { left: 0, right: 0, bottom: 0, top: 0 } },
    top: 0,
  };
  const { lanes } = stream;
  placed.top = startOf(units, lanes);
  lanes.spine = placed.top;
  placeNorms(units.before, stream, placed);
  for (const sublayer of units.sublayers) {
    placeNorms(sublayer.norms, stream, placed);
    if (sublayer.units.length > 0) placeSide(sublayer, stream, placed);
  }
  placeNorms(units.after, stream, placed);
  lanes.spine -= SPINE_STEP;
  placed.region.rect = union(placed.boxes.map(rectOf));
  return placed;
}

/** As high as the lanes allow: what comes to a side begins below what stands there. */
function startOf(units: LayerUnits, lanes: Lanes): number {
  let start = lanes.spine;
  let depth = heightOf(units.before);
  const met = new Set<Side>();
  for (const sublayer of units.sublayers) {
    depth += heightOf(sublayer.norms);
    const side = sideOf(sublayer);
    if (!met.has(side)) start = Math.min(start, lanes[side] + depth);
    met.add(side);
    depth += returnDepth(sublayer);
  }
  return start;
}

const heightOf = (norms: readonly Unit[]) => norms.reduce((sum, unit) => sum + unit.height + SPINE_STEP, 0);

const innermost = (sublayer: Sublayer) => sublayer.units.at(-1)!;

/** From a sublayer's bus to where the stream goes on below its plus. */
function returnDepth(sublayer: Sublayer): number {
  if (sublayer.units.length === 0) return 0;
  return DROP + innermost(sublayer).boxes[0]!.height / 2 + SPINE_STEP * 1.6;
}

/** Strips across the spine. Ribbons that came into the stream are read here. */
export function placeNorms(norms: readonly Unit[], stream: Stream, placed: Pick<PlacedLayer, 'boxes' | 'labels'>): void {
  for (const unit of norms) {
    const boxes = placeUnit(unit, stream.x - unit.width / 2, stream.lanes.spine);
    placed.boxes.push(...boxes);
    placed.labels.push(...normLabels(boxes));
    read(stream, tensorsIn([unit]));
    stream.writers = tensorsIn([unit]);
    stream.lanes.spine -= unit.height + SPINE_STEP;
  }
}

function read(stream: Stream, readers: number[]): void {
  for (const line of stream.unread.splice(0)) line.to = readers;
}

function placeSide(sublayer: Sublayer, stream: Stream, placed: PlacedLayer): void {
  const side = sideOf(sublayer);
  const sign = side === 'left' ? -1 : 1;
  const { lanes } = stream;
  // A second attention of one layer stands below the first.
  const bus = Math.min(lanes.spine, lanes[side]);
  const top = bus - DROP;
  const rows = sideRows(sublayer.units);
  const all: PlacedUnit[][] = [];
  let y = top;
  let bottom = top;
  for (const row of rows) {
    let x = stream.x + sign * (stream.half + ARM);
    all.push(
      row.map((unit) => {
        const left = side === 'left' ? x - unit.width : x;
        const boxes = placeUnit(unit, left, y);
        x += sign * (unit.width + UNIT_GAP);
        bottom = Math.min(bottom, y - unit.height);
        return { unit, boxes, rect: union(boxes.map(rectOf)) };
      }),
    );
    y = bottom - ROW_GAP;
  }
  const boxes = all.flat().flatMap((one) => one.boxes);
  placed.boxes.push(...boxes);
  const experts = expertsLabel(sublayer.units, boxes);
  placed.labels.push(...named(all.flat()), ...experts);
  placed.lines.push(groundOf(boxes, innermost(sublayer).block));
  const back = top - innermost(sublayer).boxes[0]!.height / 2;
  placed.lines.push(...flowOf(all, { sign, bus, back }, stream));
  lanes.spine = back - SPINE_STEP * 1.6;
  lanes[side] = bottom - LAYER_GAP - (experts.length > 0 ? EXPERTS_LABEL : 0);
}

/** From the stream to the readers, through the blocks, and back into it. */
function flowOf(rows: readonly PlacedUnit[][], at: { sign: number; bus: number; back: number }, stream: Stream): Line[] {
  const { sign, bus, back } = at;
  const row = rows[0]!;
  const writer = row[0]!;
  const readers = row.length > 1 ? row.slice(1) : row;
  const everyone = rows.flat().map((one) => one.unit);
  const readTensors = tensorsIn(row.length > 1 ? everyone.filter((unit) => unit !== writer.unit) : everyone);
  const from = stream.writers;
  if (stream.unread.length > 0) read(stream, readTensors);
  const block = writer.unit.block;
  const entries = readers.flatMap(({ boxes }) => entriesOf(boxes[0]!, sign)).sort((a, b) => sign * (a[0] - b[0]));
  const last = entries.at(-1)!;
  const trunk = ribbonWidth(stream.width);
  const lines = [
    ribbon([[stream.x, bus + SPINE_STEP], [stream.x, bus], [last[0], bus], last], block, stream.width, {
      from,
      to: readTensors,
    }),
    ...entries
      .slice(0, -1)
      .map((entry) => ribbon([[entry[0], bus - trunk / 2], entry], block, stream.width, { from, to: readTensors })),
  ];
  // Toward the spine: from each block to its inner neighbour, and from the innermost back into the stream.
  for (let index = row.length - 1; index >= 1; index -= 1) {
    const [outer, inner] = [row[index]!, row[index - 1]!];
    const level = Math.max(outer.boxes[0]!.y, inner.boxes[0]!.y);
    const points: [number, number][] = [
      [sign < 0 ? outer.rect.right : outer.rect.left, level],
      [sign < 0 ? inner.rect.left : inner.rect.right, level],
    ];
    const passing = tensorsIn(row.slice(index).map((one) => one.unit));
    lines.push(
      ribbon(points, block, outer.unit.outputs / (outer.boxes[0]!.slices ? 3 : 1), {
        ...{ from: passing, to: tensorsIn([writer.unit]), arrow: index === 1 },
      }),
    );
  }
  for (const one of row) lines.push(...betweenSlices(one, row.length > 1 ? tensorsIn([writer.unit]) : []));
  const radius = Math.min(Math.max(stream.half * 0.2, 0.8), 1.3);
  const exit = sign < 0 ? writer.rect.right : writer.rect.left;
  const back_ = ribbon([[exit, back], [stream.x + sign * radius * 1.15, back]], block, stream.width, {
    from: tensorsIn([writer.unit]),
    to: [],
  });
  stream.unread.push(back_);
  stream.writers = tensorsIn([writer.unit]);
  return [...lines, back_, ...plusSign(stream.x, back, radius)];
}

/** Where ribbons come into the top of a plate, or of each of its slices. */
function entriesOf(box: Box, sign: number): [number, number][] {
  const share = (sign < 0 ? ENTRY : 1 - ENTRY) - 0.5;
  return (box.slices ?? [box]).map(({ x, y, width, height }) => [x + share * width, y + height / 2]);
}

function betweenSlices({ unit, boxes }: PlacedUnit, to: number[]): Line[] {
  const slices = boxes[0]!.slices;
  if (!slices || slices.length !== 3) return [];
  const strips = boxes.slice(1).filter((box) => box.slices);
  return slices.slice(0, -1).map((slice, part) => {
    const ends = [slice, ...strips.map((box) => box.slices![part]!)];
    const right = Math.max(...ends.map((end) => end.x + end.width / 2));
    const next = slices[part + 1]!;
    return ribbon([[right, slice.y], [next.x - next.width / 2, slice.y]], unit.block, unit.outputs / 3, {
      ...{ from: tensorsIn([unit]), to, arrow: false },
    });
  });
}

const EXPERT = /^.*\bexperts\.\d+/;

/** The names of a block's plates; those of each expert that is a module of its own come and go for themselves. */
function named(placed: readonly PlacedUnit[]): Label[] {
  const groups = new Map<string, Box[]>();
  for (const { unit, boxes } of placed) {
    const key = EXPERT.exec(unit.module)?.[0] ?? '';
    const group = groups.get(key);
    if (group) group.push(...boxes);
    else groups.set(key, [...boxes]);
  }
  return [...groups.values()].flatMap(plateLabels);
}

/** How many there are, where each expert is a module of its own. */
function expertsLabel(units: readonly Unit[], boxes: readonly Box[]): Label[] {
  const numbers = new Set(units.flatMap((unit) => EXPERT.exec(unit.module) ?? []));
  if (numbers.size < 2) return [];
  const { left, right, bottom } = union(boxes.map(rectOf));
  return [
    {
      text: `${numbers.size} experts`,
      ...{ x: (left + right) / 2, y: bottom - GROUND_MARGIN, priority: 4, span: (right - left) / 2 },
      ...{ anchor: 'below', tone: 'plain' },
    },
  ];
}

/** A tinted ground holds a side's blocks together, also where they are too small to tell apart. */
function groundOf(boxes: readonly Box[], block: Box['block']): Line {
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
    from: [],
    to: [],
  };
}
