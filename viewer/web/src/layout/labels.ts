/** Which labels are shown, and where: by priority, none over another, none over a plate. Screen pixels, y down. */

export interface ScreenRect {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Corners of a plate in order: x, y, x, y, … */
export type Quad = readonly [number, number, number, number, number, number, number, number];

export interface LabelCandidate extends ScreenRect {
  /** index of the label */
  id: number;
  priority: number;
  /** Where else it may stand, tried in this order if its first place is taken. */
  others?: readonly { left: number; top: number }[];
  /** Labels of one group are shown together or not at all. */
  group?: string;
  /** Stands where it is told to, also over plates. */
  overPlates?: boolean;
}

export interface LabelPlace {
  id: number;
  left: number;
  top: number;
}

export interface LabelGround {
  /** What the page has put over the scene. */
  blocked?: readonly ScreenRect[];
  plates?: readonly Quad[];
  /** Free space around each label. */
  gap_px?: number;
}

const CELL_px = 48;
const MOST_CELLS = 100;
/** A label's rim may touch a plate: one that is seen from the side slopes under the label that stands on it. */
const RIM_px = 5;

/** Greedy by priority, a group by the priority of its first. */
export function placeLabels(candidates: readonly LabelCandidate[], ground: LabelGround = {}): LabelPlace[] {
  const { blocked = [], plates = [], gap_px = 3 } = ground;
  const taken = new Grid<ScreenRect>();
  for (const rect of blocked) taken.add(rect, rect);
  const covered = new Grid<Quad>();
  for (const quad of plates) covered.add(boundsOf(quad), quad);

  const isFree = (rect: ScreenRect, overPlates: boolean) =>
    !taken.some(grown(rect, gap_px), (other) => meets(grown(rect, gap_px), other)) &&
    (overPlates || !covered.some(rect, (quad) => meetsQuad(rect, quad)));
  const spotOf = (label: LabelCandidate): ScreenRect | undefined =>
    [label, ...(label.others ?? [])]
      .map(({ left, top }) => ({ left, top, width: label.width, height: label.height }))
      .find((rect) => isFree(rect, label.overPlates ?? false));

  const shown: LabelPlace[] = [];
  for (const group of groupsOf(candidates)) {
    const places: ScreenRect[] = [];
    for (const label of group) {
      const spot = spotOf(label);
      if (!spot) break;
      taken.add(spot, spot);
      places.push(spot);
    }
    if (places.length === group.length) {
      shown.push(...group.map(({ id }, index) => ({ id, left: places[index]!.left, top: places[index]!.top })));
    } else {
      for (const place of places) taken.remove(place, place);
    }
  }
  return shown;
}

/** In order of priority; of equals the earlier first, so that labels do not flicker. */
function groupsOf(candidates: readonly LabelCandidate[]): LabelCandidate[][] {
  const sorted = [...candidates].sort((a, b) => a.priority - b.priority || a.id - b.id);
  const groups = new Map<string | number, LabelCandidate[]>();
  for (const label of sorted) {
    const key = label.group ?? label.id;
    const group = groups.get(key);
    if (group) group.push(label);
    else groups.set(key, [label]);
  }
  return [...groups.values()];
}

/** Things by the cells of the screen that they lie in; what would lie in very many is kept apart. */
class Grid<Thing> {
  private readonly cells = new Map<number, Thing[]>();
  private readonly wide: Thing[] = [];

  add(rect: ScreenRect, thing: Thing): void {
    if ((rect.width / CELL_px + 1) * (rect.height / CELL_px + 1) > MOST_CELLS) {
      this.wide.push(thing);
      return;
    }
    for (const key of cellKeys(rect)) {
      const cell = this.cells.get(key);
      if (cell) cell.push(thing);
      else this.cells.set(key, [thing]);
    }
  }

  remove(rect: ScreenRect, thing: Thing): void {
    for (const key of cellKeys(rect)) {
      const cell = this.cells.get(key)!;
      cell.splice(cell.indexOf(thing), 1);
    }
  }

  some(rect: ScreenRect, test: (thing: Thing) => boolean): boolean {
    return this.wide.some(test) || cellKeys(rect).some((key) => this.cells.get(key)?.some(test));
  }
}

function cellKeys({ left, top, width, height }: ScreenRect): number[] {
  const keys: number[] = [];
  const cell = (at_px: number) => Math.floor(at_px / CELL_px);
  for (let y = cell(top); y <= cell(top + height); y += 1) {
    for (let x = cell(left); x <= cell(left + width); x += 1) keys.push(y * 65536 + x);
  }
  return keys;
}

const grown = ({ left, top, width, height }: ScreenRect, by_px: number): ScreenRect => ({
  ...{ left: left - by_px, top: top - by_px, width: width + 2 * by_px, height: height + 2 * by_px },
});

export function meets(a: ScreenRect, b: ScreenRect): boolean {
  return a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;
}

export function boundsOf(quad: Quad): ScreenRect {
  const xs = [quad[0], quad[2], quad[4], quad[6]];
  const ys = [quad[1], quad[3], quad[5], quad[7]];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return { left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
}

/** Whether the middle of a label lies on a plate: no side of either has all of the other behind it. */
export function meetsQuad(label: ScreenRect, quad: Quad): boolean {
  const rect = grown(label, -RIM_px);
  if (!meets(rect, boundsOf(quad))) return false;
  const [right, bottom] = [rect.left + rect.width, rect.top + rect.height];
  const corners = [rect.left, rect.top, right, rect.top, right, bottom, rect.left, bottom];
  for (let side = 0; side < 8; side += 2) {
    const [x, y] = [quad[side]!, quad[side + 1]!];
    const [dx, dy] = [quad[(side + 2) % 8]! - x, quad[(side + 3) % 8]! - y];
    const away = (points: ArrayLike<number>) =>
      [0, 2, 4, 6].map((at) => (points[at]! - x) * dy - (points[at + 1]! - y) * dx);
    const plate = away(quad);
    const inward = plate.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0) < 0 ? -1 : 1;
    if (away(corners).every((distance) => distance * inward < 0)) return false;
  }
  return true;
}
