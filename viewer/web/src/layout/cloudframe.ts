/** Where the embedding cloud stands beside a model. */

import { fitOf, rectOf, union, type CloudFrame, type Label, type Layout, type Rect } from './boxes';

/** Between cloud and model, and the share of the cube's side that its near corner reaches over. */
const CLOUD_GAP = 6;
const CLOUD_LEAN = 0.18;

interface CloudOptions {
  aspect: number;
  cloud: boolean;
}

/** The cloud's frame at the left, or above the rest in a narrow place, whichever leaves things larger. */
export function withCloud(layout: Layout, options: CloudOptions): Layout {
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
