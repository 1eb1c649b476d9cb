import { expect, test } from 'vitest';
import { layoutModel } from '../src/layout/architecture';
import { placeOf, poseAt, regionNear } from '../src/layout/place';
import { gpt2 } from './models';

const wide = layoutModel(gpt2(12, 768), { aspect: 2.2, cloud: true });
const narrow = layoutModel(gpt2(12, 768), { aspect: 0.6, cloud: true });

test('a place is the same pose again in the same layout', () => {
  const pose = { x: 12.5, y: -30, z: 2, distance: 40, yaw: 0.3, pitch: -0.2 };
  const again = poseAt(wide, placeOf(wide, pose)!)!;
  for (const key of Object.keys(pose) as (keyof typeof pose)[]) expect(again[key]).toBeCloseTo(pose[key], 9);
});

test('a window of another shape looks at the same tensor, though it stands elsewhere', () => {
  const box = wide.boxes.at(-30)!;
  const there = narrow.boxes.find(({ tensor }) => tensor === box.tensor)!;
  expect([there.x, there.y]).not.toEqual([box.x, box.y]);
  const place = placeOf(wide, { x: box.x + 0.1, y: box.y, z: 0, distance: 9, yaw: 0, pitch: 0 })!;
  expect(place.anchor).toBe(box.tensor);
  const pose = poseAt(narrow, place)!;
  expect(pose.x).toBeCloseTo(there.x + 0.1);
  expect(pose.y).toBeCloseTo(there.y);
});

test('a place that the model does not have is none', () => {
  const place = { anchor: 99_999, x: 0, y: 0, z: 0, distance: 1, yaw: 0, pitch: 0 };
  expect(poseAt(wide, place)).toBeNull();
  const plain = layoutModel(gpt2(2, 64), { aspect: 1, cloud: false });
  expect(poseAt(plain, { ...place, anchor: 'cloud' })).toBeNull();
  expect(placeOf({ ...plain, boxes: [] }, { ...place })).toBeNull();
});

test('the part that one looks at is the one around the point', () => {
  wide.regions.forEach(({ rect }, index) => {
    const middle = { x: (rect.left + rect.right) / 2, y: (rect.bottom + rect.top) / 2 };
    expect(regionNear(wide, middle)).toBe(index);
  });
  expect(regionNear({ ...wide, regions: [] }, { x: 0, y: 0 })).toBe(-1);
});
