import { expect, test } from 'vitest';
import { placeLabels, type LabelCandidate, type LabelGround, type Quad } from '../src/layout/labels';

const label = (id: number, left: number, top: number, priority = 1): LabelCandidate => ({
  id,
  left,
  top,
  width: 60,
  height: 16,
  priority,
});

const ids = (labels: LabelCandidate[], ground?: LabelGround) => placeLabels(labels, ground).map(({ id }) => id);

test('of two labels that would overlap, the more important one is shown', () => {
  expect(ids([label(0, 0, 0, 5), label(1, 30, 5, 1)])).toEqual([1]);
});

test('labels apart from each other are all shown', () => {
  expect(placeLabels([label(0, 0, 0), label(1, 0, 40), label(2, 100, 0)])).toHaveLength(3);
});

test('of equals the earlier one wins, so labels do not flicker', () => {
  expect(ids([label(1, 5, 0), label(0, 0, 0)])).toEqual([0]);
});

test('labels partly outside of the window count too', () => {
  expect(ids([label(0, -40, -5), label(1, -30, -2, 2)])).toEqual([0]);
});

test('no two labels that are shown touch, however crowded', () => {
  const crowd = Array.from({ length: 2000 }, (_, id) => label(id, (id * 7919) % 1200, (id * 104729) % 700, id % 7));
  const shown = ids(crowd).map((id) => crowd[id]!);
  expect(shown.length).toBeGreaterThan(50);
  for (const [index, a] of shown.entries()) {
    for (const b of shown.slice(index + 1)) {
      const apart = a.left >= b.left + 63 || b.left >= a.left + 63 || a.top >= b.top + 19 || b.top >= a.top + 19;
      if (!apart) expect([a, b]).toBe('apart');
    }
  }
});

test('a group is shown whole or not at all', () => {
  const wall = label(9, 200, 0, 0);
  const q = { ...label(0, 0, 0), group: 'layer 0' };
  const k = { ...label(1, 190, 0), group: 'layer 0' };
  expect(ids([q, k, wall])).toEqual([9]);
  expect(ids([q, { ...k, left: 100 }, wall])).toEqual([9, 0, 1]);
});

test('what a group gave up is free for others', () => {
  const group = [label(0, 0, 0), label(1, 190, 0)].map((one) => ({ ...one, group: 'g' }));
  expect(ids([label(9, 200, 0, 0), ...group, label(2, 10, 0, 5)])).toEqual([9, 2]);
});

test('a label goes to its next place where the first is taken, and nowhere else', () => {
  const other = { ...label(1, 10, 0, 2), others: [{ left: 20, top: 4 }, { left: 200, top: 50 }] };
  expect(placeLabels([label(0, 0, 0), other])).toContainEqual({ id: 1, left: 200, top: 50 });
});

test('no label lies under what the page has put there', () => {
  const blocked = [{ left: 50, top: 0, width: 40, height: 40 }];
  expect(ids([label(0, 0, 0), label(1, 0, 30)], { blocked })).toEqual([]);
  expect(ids([label(0, 100, 0)], { blocked })).toEqual([0]);
});

const plate: Quad = [0, 0, 100, 20, 100, 120, 0, 100];

test('no label lies on a plate, but it may stand on its upper edge or pass beside a slanted one', () => {
  const onPlate = { ...label(0, 20, 50) };
  expect(ids([onPlate], { plates: [plate] })).toEqual([]);
  expect(ids([{ ...onPlate, overPlates: true }], { plates: [plate] })).toEqual([0]);
  expect(ids([{ ...label(1, 0, -12) }], { plates: [plate] })).toEqual([1]);
  // Inside the bounds of the slanted plate, and yet above it.
  expect(ids([{ ...label(2, 60, -4), width: 38 }], { plates: [plate] })).toEqual([2]);
});

test('plates far larger than the screen are still in the way', () => {
  const vast: Quad = [-9e5, -9e5, 9e5, -9e5, 9e5, 9e5, -9e5, 9e5];
  expect(ids([label(0, 20, 50)], { plates: [vast] })).toEqual([]);
});
