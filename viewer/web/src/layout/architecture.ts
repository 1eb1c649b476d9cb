/**
 * A transformer as a picture: the residual stream is the spine, flow runs down, embeddings at the top,
 * head at the bottom. Deep models wrap into columns, as many as fill the wished proportions best.
 */

import type { TensorInfo } from '../data/types';
import { fitOf, rectOf, union } from './boxes';
import type { Box, CloudFrame, Label, Layout, Line, Rect, Region } from './boxes';
import { boxLabel, genericLayout } from './generic';
import { placeLayer, sideWidth, type Lanes, type PlacedLayer } from './layer';
import { isTransformer, partsOf, type Parts } from './parts';
import { placeUnit, type Unit } from './units';

const COLUMN_GAP = 9;
const EMBEDDING_ARM = 3.6;
const ZONE_GAP = 7;
const BRACKET_GAP = 2.4;
/** Between cloud and model, and the share of the cube's side that its near corner reaches over. */
const CLOUD_GAP = 6;
const CLOUD_LEAN = 0.18;
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

/** Boxes, lines and labels of a model; pure, so it can be tested and repeated. */
export function layoutModel(tensors: readonly TensorInfo[], options: LayoutOptions): Layout {
  const shown = tensors.filter((tensor) => tensor.samples > 0 || tensor.tied_to !== null || tensor.skipped !== null);
  if (!isTransformer(shown)) return withCloud(genericLayout(shown, options.aspect), options);
  const parts = partsOf(shown);
  let best: Layout | null = null;
  let bestFit = 0;
  const most = Math.min(parts.layers.length, MOST_COLUMNS);
  for (let columns = 1; columns <= most; columns += 1) {
    const layout = withCloud(transformerLayout(parts, columns, options.aspect), options);
    const fit = fitOf(layout.bounds, options.aspect);
    if (!best || fit > bestFit) {
      best = layout;
      bestFit = fit;
    }
  }
  return best!;
}

function transformerLayout(parts: Parts, columns: number, aspect: number): Layout {
  const sketch: Sketch = { boxes: [], lines: [], labels: [], regions: [] };
  const half = parts.spineWidth / 2;
  const leftReach = half + Math.max(...parts.layers.map((layer) => sideWidth(layer.attention)));
  const rightReach = half + Math.max(...parts.layers.map((layer) => sideWidth(layer.mlp)));
  const pitch = leftReach + rightReach + BRACKET_GAP + COLUMN_GAP;
  const perColumn = Math.ceil(parts.layers.length / columns);
  const layersTop = placeEmbeddings(parts, half, sketch);
  const ends: number[] = [];
  const bottoms: number[] = [];
  for (let column = 0; column * perColumn < parts.layers.length; column += 1) {
    const x = column * pitch;
    const layers: PlacedLayer[] = [];
    let lanes: Lanes = { spine: layersTop, left: layersTop, right: layersTop };
    for (const units of parts.layers.slice(column * perColumn, (column + 1) * perColumn)) {
      const placed = placeLayer(units, x, half, lanes);
      sketch.boxes.push(...placed.boxes);
      sketch.lines.push(...placed.lines);
      sketch.labels.push(...placed.labels);
      sketch.regions.push(placed.region);
      layers.push(placed);
      lanes = placed.lanes;
    }
    layers.forEach(({ region, top }, index) => {
      // The last layer's bracket is as long as the one above it.
      const above = layers[index - 1]?.top;
      const end = above === undefined ? Math.min(lanes.spine, lanes.left) : 2 * top - above;
      const next = layers[index + 1]?.top ?? end;
      bracket(region, x - leftReach - BRACKET_GAP, top, next, sketch);
    });
    ends.push(lanes.spine);
    bottoms.push(Math.min(lanes.spine, lanes.left, lanes.right));
  }
  const last = ends.length - 1;
  const tail = placeHead(parts, last * pitch, { end: ends[last]!, bottoms }, pitch, sketch);
  spines(ends, bottoms, tail, { pitch, rightReach, layersTop }, parts.spineWidth, sketch);
  let bounds = boundsOf(sketch);
  if (parts.rest.length > 0) bounds = appendRest(parts.rest, bounds, aspect, sketch);
  return { ...sketch, cloud: null, core: bounds, bounds };
}

function boundsOf(sketch: Sketch): Rect {
  const points = sketch.lines.flatMap((line) => line.points);
  const rects = points.map(([x, y]) => ({ left: x, right: x, bottom: y, top: y }));
  return union([...sketch.boxes.map(rectOf), ...rects]);
}

/** Token embedding to the left of the spine, positions and the like to its right; returns the y below. */
function placeEmbeddings(parts: Parts, half: number, sketch: Sketch): number {
  let bottom = 0;
  const lay = (units: readonly Unit[], side: -1 | 1) => {
    let top = 0;
    for (const unit of units) {
      const left = side < 0 ? -half - EMBEDDING_ARM - unit.width : half + EMBEDDING_ARM;
      const boxes = placeUnit(unit, left, top);
      const inner = side < 0 ? left + unit.width : left;
      const y = top - unit.height / 2;
      sketch.boxes.push(...boxes);
      const anchor = side < 0 ? 'end' : 'corner';
      for (const box of boxes) {
        sketch.labels.push({ ...boxLabel(box), x: box.x - (side * box.width) / 2, anchor, priority: 2 });
      }
      sketch.lines.push({
        kind: 'flow',
        points: [
          [inner, y],
          [side * half, y],
        ],
        block: 'embedding',
        arrow: true,
        thickness: 0.5,
      });
      sketch.regions.push({ title: boxes[0]!.label, layer: null, rect: union(boxes.map(rectOf)) });
      top -= unit.height + ZONE_GAP;
      bottom = Math.min(bottom, top);
    }
  };
  lay(parts.tokens, -1);
  lay(parts.positions, 1);
  return bottom;
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
  });
  sketch.labels.push({
    text: region.title,
    x,
    y: top,
    priority: 1,
    span: top - low,
    anchor: 'corner',
    tone: 'title',
    short: String(region.layer ?? ''),
  });
}

interface ColumnEnds {
  end: number;
  /** Lowest use of each column. */
  bottoms: readonly number[];
}

/** Final norm and head at the end of the last column; returns the y where its spine ends. */
function placeHead(parts: Parts, x: number, ends: ColumnEnds, pitch: number, sketch: Sketch): number {
  let y = ends.end;
  for (const unit of parts.finalNorms) {
    const boxes = placeUnit(unit, x - unit.width / 2, y - 1);
    sketch.boxes.push(...boxes);
    sketch.labels.push(...boxes.map((box) => ({ ...boxLabel(box), priority: 4 })));
    y -= unit.height + 2.5;
  }
  const finalRect = parts.finalNorms.length > 0 ? ends.end : null;
  if (finalRect !== null) {
    const rect = { left: x - parts.spineWidth, right: x + parts.spineWidth, bottom: y, top: ends.end };
    sketch.regions.push({ title: 'final norm', layer: null, rect });
  }
  for (const unit of parts.heads) {
    const clear = unit.width > pitch * 0.9 ? Math.min(...ends.bottoms) : ends.bottoms.at(-1)!;
    const top = Math.min(y - 3, clear - ZONE_GAP);
    const boxes = placeUnit(unit, x - unit.width / 2, top);
    sketch.boxes.push(...boxes);
    sketch.labels.push(...boxes.map((box) => ({ ...boxLabel(box), priority: 2 })));
    sketch.regions.push({ title: boxes[0]!.label, layer: null, rect: union(boxes.map(rectOf)) });
    y = top;
  }
  return y;
}

interface ColumnPlaces {
  pitch: number;
  rightReach: number;
  layersTop: number;
}

/** The residual stream down each column, and over to the top of the next one. */
function spines(
  ends: readonly number[],
  bottoms: readonly number[],
  tail: number,
  places: ColumnPlaces,
  width: number,
  sketch: Sketch,
): void {
  const { pitch, rightReach, layersTop } = places;
  ends.forEach((end, column) => {
    const x = column * pitch;
    const isLast = column === ends.length - 1;
    const top = column === 0 ? 0 : layersTop + 2;
    const bottom = isLast ? tail : end - 1;
    sketch.lines.push({
      kind: 'spine',
      points: [
        [x, top],
        [x, bottom],
      ],
      block: 'other',
      arrow: true,
      thickness: width,
    });
    if (isLast) return;
    // Below everything of this column, so that the line crosses no block.
    const turn = Math.min(bottom, bottoms[column]!) - 2.5;
    const aisle = x + rightReach + COLUMN_GAP * 0.45;
    sketch.lines.push({
      kind: 'flow',
      points: [
        [x, bottom],
        [x, turn],
        [aisle, turn],
        [aisle, layersTop + 3.5],
        [x + pitch, layersTop + 3.5],
        [x + pitch, layersTop + 2],
      ],
      block: 'other',
      arrow: true,
      thickness: 0.7,
    });
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
  sketch.boxes.push(...extra.boxes.map((box) => ({ ...box, x: box.x + dx, y: box.y + dy })));
  sketch.labels.push(...extra.labels.map((label) => ({ ...label, x: label.x + dx, y: label.y + dy })));
  sketch.regions.push(...extra.regions.map((region) => ({ ...region, rect: shift(region.rect) })));
  return union([bounds, shift(extra.bounds)]);
}

/** The cloud's frame at the left, or above the rest in a narrow place, whichever leaves things larger. */
function withCloud(layout: Layout, options: LayoutOptions): Layout {
  if (!options.cloud) return layout;
  const { bounds } = layout;
  const height = bounds.top - bounds.bottom;
  const width = bounds.right - bounds.left;
  // As large as the room beside (or above) the model lets it be, within reason.
  const within = (room: number) => Math.max(14, Math.min(Math.max(room, 0.45 * Math.min(height, width)), 0.56 * height));
  const sideSize = within((options.aspect * height - width - CLOUD_GAP) / (1 + CLOUD_LEAN));
  const topSize = within((width / options.aspect - height - CLOUD_GAP) / (1 + CLOUD_LEAN));
  const gap = (size: number) => CLOUD_GAP + CLOUD_LEAN * size;
  const beside = {
    x: bounds.left - gap(sideSize) - sideSize / 2,
    y: bounds.top - sideSize / 2,
    size: sideSize,
  };
  const above = {
    x: (bounds.left + bounds.right) / 2,
    y: bounds.top + gap(topSize) + topSize / 2,
    size: topSize,
  };
  const framed = [beside, above].map((cloud) => ({
    ...layout,
    cloud,
    bounds: union([bounds, squareOf(cloud)]),
    labels: [...layout.labels, ...cloudLabels(cloud)],
    regions: [
      { title: 'embedding cloud', layer: null, rect: squareOf(cloud) },
      ...layout.regions,
    ],
  }));
  return fitOf(framed[0]!.bounds, options.aspect) >= fitOf(framed[1]!.bounds, options.aspect)
    ? framed[0]!
    : framed[1]!;
}

const squareOf = ({ x, y, size }: CloudFrame): Rect => rectOf({ x, y, width: size, height: size });

/** The cloud's name, and the names of its axes along its edges. */
function cloudLabels({ x, y, size }: CloudFrame): Label[] {
  const h = size / 2;
  const axis = (text: string, at: [number, number, number], anchor: Label['anchor']): Label => ({
    text,
    x: at[0],
    y: at[1],
    z: at[2],
    priority: 9,
    span: size / 6,
    anchor,
    tone: 'plain',
  });
  return [
    { text: 'token embeddings', x, y: y + h, priority: 0, span: size, anchor: 'above', tone: 'title' },
    axis('axis 1', [x, y - h, h], 'below'),
    axis('axis 2', [x - h, y, h], 'end'),
    axis('axis 3', [x + h, y - h, 0], 'below'),
  ];
}
