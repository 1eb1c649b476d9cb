/**
 * A transformer as a picture: the residual stream is the spine, flow runs down, embeddings at the top,
 * head at the bottom. Deep models wrap into columns, as many as fill the wished proportions best; an
 * encoder and a decoder each have columns of their own.
 */

import type { TensorInfo } from '../data/types';
import { fitOf, rectOf, union } from './boxes';
import type { Box, Label, Layout, Line, Rect, Region } from './boxes';
import { withCloud } from './cloudframe';
import { genericLayout } from './generic';
import { placeLayer, placeNorms, sideReach, tensorsIn, type Stream } from './layer';
import { boxLabel } from './names';
import { isTransformer, partsOf, type Parts, type Stack } from './parts';
import { ribbon } from './ribbons';
import type { LayerUnits } from './sublayers';
import { placeUnit, type Unit } from './units';

const COLUMN_GAP = 8;
const EMBEDDING_ARM = 3.6;
const ZONE_GAP = 8;
const BRACKET_GAP = 2.4;
const MOST_COLUMNS = 12;

export interface LayoutOptions {
  /** Width over height of the place where the picture is shown. */
  aspect: number;
  /** A frame for the embedding cloud is wanted. */
  cloud: boolean;
}

interface Sketch {
  boxes: Box[];
  lines: Line[];
  labels: Label[];
  regions: Region[];
}

interface Column {
  stack: Stack;
  layers: readonly LayerUnits[];
  isFirst: boolean;
  isLast: boolean;
}

/** Boxes, lines and labels of a model; pure, so it can be tested and repeated. */
export function layoutModel(tensors: readonly TensorInfo[], options: LayoutOptions): Layout {
  const shown = tensors.filter((tensor) => tensor.samples > 0 || tensor.tied_to !== null || tensor.skipped !== null);
  if (!isTransformer(shown)) return withCloud(genericLayout(shown, options.aspect), options);
  const parts = partsOf(shown);
  const layers = Math.max(...parts.stacks.map((stack) => stack.layers.length));
  const tried = new Set<number>();
  let best: Layout | null = null;
  let bestFit = 0;
  for (let columns = 1; columns <= Math.min(layers, MOST_COLUMNS); columns += 1) {
    const most = Math.ceil(layers / columns);
    if (tried.has(most)) continue;
    tried.add(most);
    const layout = withCloud(transformerLayout(parts, most, options.aspect), options);
    const fit = fitOf(layout.bounds, options.aspect);
    if (!best || fit > bestFit) {
      best = layout;
      bestFit = fit;
    }
  }
  return best!;
}

/** Every stack in as few columns of at most so many layers as it takes, evenly filled. */
function columnsOf(stacks: readonly Stack[], most: number): Column[] {
  return stacks.flatMap((stack) => {
    const count = stack.layers.length;
    const columns = Math.ceil(count / most);
    return Array.from({ length: columns }, (_, column): Column => {
      const edge = (number: number) => Math.ceil((number * count) / columns);
      const layers = stack.layers.slice(edge(column), edge(column + 1));
      return { stack, layers, isFirst: column === 0, isLast: column === columns - 1 };
    });
  });
}

function transformerLayout(parts: Parts, most: number, aspect: number): Layout {
  const sketch: Sketch = { boxes: [], lines: [], labels: [], regions: [] };
  const everyLayer = parts.stacks.flatMap((stack) => stack.layers);
  const half = Math.max(...parts.stacks.map((stack) => stack.spineWidth)) / 2;
  const leftReach = half + Math.max(...everyLayer.map((layer) => sideReach(layer, 'left')));
  const rightReach = half + Math.max(...everyLayer.map((layer) => sideReach(layer, 'right')));
  const pitch = leftReach + rightReach + BRACKET_GAP + COLUMN_GAP;
  const columns = columnsOf(parts.stacks, most);
  const zone = Math.min(...parts.stacks.map(embeddingDepth));
  const placed: PlacedColumn[] = [];
  let stream: Stream | null = null;
  columns.forEach((column, number) => {
    const x = number * pitch;
    const lanes = { spine: zone, left: zone, right: zone };
    const narrow = column.stack.spineWidth / 2;
    const width = column.stack.spineWidth ** 2.5;
    const before = column.isFirst ? null : stream;
    stream = { x, half: narrow, width, lanes, writers: before?.writers ?? [], unread: before?.unread ?? [] };
    if (column.isFirst) placeEmbeddings(column.stack, stream, sketch);
    placed.push(placeColumn(column, stream, x - leftReach - BRACKET_GAP, sketch));
    if (column.isLast) placeFinalNorms(column.stack, stream, sketch);
    placed.at(-1)!.end = lanes.spine;
    placed.at(-1)!.bottom = Math.min(lanes.spine, lanes.left, lanes.right);
  });
  const tail = placeHead(parts, stream!, placed, pitch, sketch);
  spines(placed, tail, { pitch, rightReach, zone }, sketch);
  let bounds = boundsOf(sketch);
  if (parts.rest.length > 0) bounds = appendRest(parts.rest, bounds, aspect, sketch);
  return { ...sketch, cloud: null, core: bounds, bounds };
}

interface PlacedColumn {
  column: Column;
  stream: Stream;
  /** Where its spine ends, and its lowest use. */
  end: number;
  bottom: number;
}

function boundsOf(sketch: Sketch): Rect {
  const points = sketch.lines.flatMap((line) => line.points);
  const rects = points.map(([x, y]) => ({ left: x, right: x, bottom: y, top: y }));
  return union([...sketch.boxes.map(rectOf), ...rects]);
}

function embeddingDepth({ tokens, positions }: Stack): number {
  const depth = (units: readonly Unit[]) => units.reduce((sum, unit) => sum + unit.height + ZONE_GAP, 0);
  return -Math.max(depth(tokens), depth(positions));
}

/** Token embedding to the left of the spine, positions and the like to its right. */
function placeEmbeddings(stack: Stack, stream: Stream, sketch: Sketch): void {
  const { x, half } = stream;
  for (const [units, side] of [[stack.tokens, -1], [stack.positions, 1]] as const) {
    let top = 0;
    for (const unit of units) {
      const left = side < 0 ? x - half - EMBEDDING_ARM - unit.width : x + half + EMBEDDING_ARM;
      const boxes = placeUnit(unit, left, top);
      const inner = side < 0 ? left + unit.width : left;
      const y = boxes[0]!.y;
      sketch.boxes.push(...boxes);
      const main = boxes[0]!;
      const label = boxLabel(main);
      sketch.labels.push(...boxes.slice(1).map(boxLabel), {
        ...label,
        x: main.x - (side * main.width) / 2,
        anchor: side < 0 ? 'end' : 'corner',
        priority: 2,
        ...(side < 0 && main.width > 30 ? { x: main.x - main.width / 2, anchor: 'corner' } : {}),
      });
      const from = tensorsIn([unit]);
      const line = ribbon([[inner, y], [x + side * half, y]], 'embedding', stream.width, { from, to: [] });
      sketch.lines.push(line);
      stream.unread.push(line);
      stream.writers.push(...from);
      sketch.regions.push({ title: main.label, layer: null, rect: union(boxes.map(rectOf)) });
      top -= unit.height + ZONE_GAP;
    }
  }
}

function placeColumn(column: Column, stream: Stream, left: number, sketch: Sketch): PlacedColumn {
  const prefix = column.stack.name === '' ? '' : `${column.stack.name} `;
  const layers = column.layers.map((units) => placeLayer(units, `${prefix}layer ${units.layer}`, stream));
  layers.forEach(({ boxes, lines, labels, region, top }, index) => {
    sketch.boxes.push(...boxes);
    sketch.lines.push(...lines);
    sketch.labels.push(...labels);
    sketch.regions.push(region);
    // The last layer's bracket is as long as the one above it.
    const above = layers[index - 1]?.top;
    const end = above === undefined ? Math.min(stream.lanes.spine, region.rect.bottom - 1) : 2 * top - above;
    bracket(region, left, top, layers[index + 1]?.top ?? end, sketch);
  });
  return { column, stream, end: 0, bottom: 0 };
}

function bracket(region: Region, x: number, top: number, bottom: number, sketch: Sketch): void {
  const low = bottom + 1.5;
  sketch.lines.push({
    kind: 'bracket',
    points: [
      [x + 1, top],
      [x, top],
      [x, low],
      [x + 1, low],
    ],
    block: 'other',
    arrow: false,
    thickness: 0.3,
    from: [],
    to: [],
  });
  sketch.labels.push({
    text: region.title,
    x,
    y: top + 1.4,
    priority: 1,
    span: top - low,
    anchor: 'corner',
    // Under the embeddings there may be no room above it.
    otherAnchors: ['beside'],
    tone: 'title',
    short: String(region.layer ?? ''),
  });
}

function placeFinalNorms(stack: Stack, stream: Stream, sketch: Sketch): void {
  if (stack.finalNorms.length === 0) return;
  const top = stream.lanes.spine;
  const labels: Label[] = [];
  placeNorms(stack.finalNorms, stream, { boxes: sketch.boxes, labels });
  sketch.labels.push(...labels.map((label) => ({ ...label, priority: 4 })));
  const { x, half, lanes } = stream;
  const rect = { left: x - 2 * half, right: x + 2 * half, bottom: lanes.spine, top };
  const title = stack.name === '' ? 'final norm' : `${stack.name} final norm`;
  sketch.regions.push({ title, layer: null, rect });
}

/** The head at the end of the last column; returns the y where its spine ends. */
function placeHead(parts: Parts, stream: Stream, columns: readonly PlacedColumn[], pitch: number, sketch: Sketch): number {
  let y = stream.lanes.spine;
  parts.heads.forEach((unit, index) => {
    const lowest = columns.map((column) => column.bottom);
    const clear = unit.width > pitch * 0.9 ? Math.min(...lowest) : lowest.at(-1)!;
    const top = index === 0 ? Math.min(y - 3, clear - ZONE_GAP) : y - ZONE_GAP;
    const boxes = placeUnit(unit, stream.x - unit.width / 2, top);
    sketch.boxes.push(...boxes);
    sketch.labels.push({ ...boxLabel(boxes[0]!), priority: 2, otherAnchors: ['beside', 'end'] }, ...boxes.slice(1).map(boxLabel));
    sketch.regions.push({ title: boxes[0]!.label, layer: null, rect: union(boxes.map(rectOf)) });
    y = top - (index < parts.heads.length - 1 ? unit.height : 0);
    if (index > 0) return;
    const line = ribbon([[stream.x, top + 2], [stream.x, top]], 'head', stream.width, {
      ...{ from: stream.writers, to: tensorsIn([unit]), arrow: false },
    });
    sketch.lines.push(line);
    for (const open of stream.unread.splice(0)) open.to = tensorsIn([unit]);
    stream.writers = [];
    y = top;
  });
  return y;
}

interface ColumnPlaces {
  pitch: number;
  rightReach: number;
  /** Where the layers begin. */
  zone: number;
}

/** The residual stream down each column, and over to the top of the next one. */
function spines(columns: readonly PlacedColumn[], tail: number, places: ColumnPlaces, sketch: Sketch): void {
  const { pitch, rightReach, zone } = places;
  columns.forEach(({ column, stream, end, bottom }, number) => {
    const { x } = stream;
    const isEnd = number === columns.length - 1;
    const spineEnd = isEnd ? tail : end - 1;
    const line = (kind: Line['kind'], points: [number, number][], thickness: number): Line => ({
      ...{ kind, points, block: 'other', arrow: true, thickness, from: [], to: [] },
    });
    const begins = column.isFirst ? 0 : zone + 2;
    sketch.lines.push(line('spine', [[x, begins], [x, spineEnd]], column.stack.spineWidth));
    if (isEnd) return;
    // Below everything of this column, so that the line crosses no block.
    const turn = Math.min(spineEnd, bottom) - 2.5;
    const aisle = x + rightReach + COLUMN_GAP * 0.45;
    const down: [number, number][] = [[x, spineEnd], [x, turn], [aisle, turn]]; // prettier-ignore
    const next = columns[number + 1]!;
    if (!column.isLast) {
      const top = zone + 3.5;
      sketch.lines.push(line('flow', [...down, [aisle, top], [x + pitch, top], [x + pitch, zone + 2]], 0.7));
    } else {
      crossing(down, aisle, next, sketch);
    }
  });
}

/** What an encoder hands to the cross-attention of the decoder, the second attention of its layers. */
function crossing(down: [number, number][], aisle: number, next: PlacedColumn, sketch: Sketch): void {
  const [layer] = next.column.layers;
  const attentions = layer!.sublayers.filter((sublayer) => sublayer.kind === 'attention');
  const cross = attentions[1];
  if (!cross) return;
  const readers = tensorsIn(cross.units.filter((unit) => /key|value/.test(unit.role)));
  const rect = union(sketch.boxes.filter((box) => readers.includes(box.tensor)).map(rectOf));
  const y = (rect.top + rect.bottom) / 2;
  const ground = union(
    sketch.boxes.filter((box) => tensorsIn(cross.units).includes(box.tensor)).map(rectOf),
  );
  sketch.lines.push({
    kind: 'flow',
    points: [...down, [aisle, y], [ground.left - 0.9, y]],
    block: 'attention',
    arrow: true,
    thickness: 0.7,
    from: [],
    to: readers,
  });
}

function appendRest(rest: readonly TensorInfo[], bounds: Rect, aspect: number, sketch: Sketch): Rect {
  const extra = genericLayout(rest, aspect);
  const dx = bounds.left - extra.bounds.left;
  const dy = bounds.bottom - 2 * ZONE_GAP - extra.bounds.top;
  const shift = (rect: Rect): Rect => ({
    left: rect.left + dx,
    right: rect.right + dx,
    bottom: rect.bottom + dy,
    top: rect.top + dy,
  });
  const moved = <T extends { x: number; y: number }>(item: T): T => ({ ...item, x: item.x + dx, y: item.y + dy });
  sketch.boxes.push(...extra.boxes.map((box) => ({ ...moved(box), slices: box.slices && box.slices.map(moved) })));
  sketch.labels.push(...extra.labels.map(moved));
  sketch.regions.push(...extra.regions.map((region) => ({ ...region, rect: shift(region.rect) })));
  return union([bounds, shift(extra.bounds)]);
}
