import { expect, test } from 'vitest';
import { placeLabels, type LabelCandidate } from '../src/layout/labels';

const label = (id: number, left: number, top: number, priority = 1): LabelCandidate => ({
  id,
  left,
  top,
  width: 60,
  height: 16,
  priority,
});

test('of two labels that would overlap, the more important one is shown', () => {
  expect(placeLabels([label(0, 0, 0, 5), label(1, 30, 5, 1)])).toEqual([1]);
});

test('labels apart from each other are all shown', () => {
  expect(placeLabels([label(0, 0, 0), label(1, 0, 40), label(2, 100, 0)])).toHaveLength(3);
});

test('of equals the earlier one wins, so labels do not flicker', () => {
  expect(placeLabels([label(1, 5, 0), label(0, 0, 0)])).toEqual([0]);
});

test('labels partly outside of the window count too', () => {
  expect(placeLabels([label(0, -40, -5), label(1, -30, -2, 2)])).toEqual([0]);
});

test('no two labels that are shown touch, however crowded', () => {
  const crowd = Array.from({ length: 2000 }, (_, id) => label(id, (id * 7919) % 1200, (id * 104729) % 700, id % 7));
  const shown = placeLabels(crowd, 3).map((id) => crowd[id]!);
  expect(shown.length).toBeGreaterThan(50);
  for (const [index, a] of shown.entries()) {
    for (const b of shown.slice(index + 1)) {
      const apart = a.left >= b.left + 63 || b.left >= a.left + 63 || a.top >= b.top + 19 || b.top >= a.top + 19;
      if (!apart) expect([a, b]).toBe('apart');
    }
  }
});
