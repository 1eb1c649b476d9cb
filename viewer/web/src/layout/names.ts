/** The names of plates, of their slices and of the heads in them. */

import type { Box, Label, Slice } from './boxes';
import { STRIP } from './size';

const MOST_HEADS_NAMED = 64;

/**
 * Labels of the boxes of one block. Heads are named at the left of the first plate that has them. Where one of its
 * plates has no room for its name, none has one: a Q without a K would be read as if there were no other.
 */
export function plateLabels(boxes: readonly Box[]): Label[] {
  const group = `plates ${boxes[0]?.tensor}`;
  const labels = boxes.flatMap((box): Label[] => {
    const names = box.slices && box.slices[0]!.label ? sliceLabels(box) : [boxLabel(box)];
    return isStrip(box) ? names : names.map((label) => ({ ...label, group }));
  });
  const headed = boxes.filter((box) => box.split && box.block === 'attention' && box.width > 2);
  const first = [...headed].sort((a, b) => a.x - b.x)[0];
  return first ? [...labels, ...headLabels(first)] : labels;
}

const isStrip = ({ width, height, slices }: Box) =>
  Math.min(width, height) < STRIP * 2 || (slices !== null && slices[0]!.label !== '' && slices[0]!.width < STRIP * 2);

/** The label over a plate; strips keep theirs for when they are large on screen. */
export function boxLabel(box: Box): Label {
  const thin = Math.min(box.width, box.height);
  if (!isStrip(box)) return nameOver(box, box.label);
  const under = { x: box.x, y: box.y - box.height / 2, anchor: 'below' } as const;
  return { ...nameOver(box, box.label), ...(box.width > box.height ? under : {}), span: thin * 2 };
}

function nameOver(place: Pick<Box, 'x' | 'y' | 'width' | 'height'>, text: string): Label {
  const { x, y, width, height } = place;
  const wide = width > 3 && height > 1.5;
  return {
    text,
    x: wide ? x - width / 2 : x,
    y: y + height / 2,
    priority: 10 + 1000 / (1 + width * height),
    span: width,
    anchor: wide ? 'corner' : 'above',
    tone: 'plain',
  };
}

/** The name of norms on the stream, at the right of the first of their strips, where no sign hides. */
export function normLabels(boxes: readonly Box[]): Label[] {
  const [first, ...others] = boxes.map(boxLabel);
  const { x, y, width, height } = boxes[0]!;
  return [{ ...first!, x: x + width / 2, y, span: 2 * height, anchor: 'after' }, ...others.map((label) => ({ ...label, span: height }))];
}

/** Q, K and V over the plates of one weight; a bias's parts need no names of their own. */
function sliceLabels(box: Box): Label[] {
  if (box.slices![0]!.width < 2) return [];
  return box.slices!.map((slice) => nameOver(slice, slice.label));
}

/** h0, h1, … beside the lanes or under the columns of the heads; seen when these are large enough. */
function headLabels(box: Box): Label[] {
  const place: Pick<Slice, 'x' | 'y' | 'width' | 'height'> = box.slices?.[0] ?? box;
  const { parts, axis } = box.split!;
  if (parts > MOST_HEADS_NAMED) return [];
  const alongX = (axis === 'columns') !== box.transposed;
  return Array.from({ length: parts }, (_, head): Label => {
    const share = (head + 0.5) / parts - 0.5;
    return {
      text: `h${head}`,
      x: alongX ? place.x + share * place.width : place.x - place.width / 2,
      y: alongX ? place.y - place.height / 2 : place.y - share * place.height,
      priority: 400 + head / 100,
      span: ((alongX ? place.width : place.height) / parts) * 1.8,
      anchor: alongX ? 'below' : 'beside',
      group: `heads ${box.tensor}`,
      tone: 'plain',
    };
  });
}
