/** How finely the scene is drawn while it changes, by what frames take. */

import { expect, test } from 'vitest';
import { Pace } from '../src/render/pace';

function noted(pace: Pace, frame_ms: number, frames: number): number {
  let changes = 0;
  for (let frame = 0; frame < frames; frame += 1) changes += pace.note(frame_ms) ? 1 : 0;
  return changes;
}

test('a quick renderer draws every pixel', () => {
  const pace = new Pace(false);
  expect(noted(pace, 16.7, 100)).toBe(0);
  expect(pace.ratio(1)).toBe(1);
});

test('slow frames take pixels away step by step, down to 0.75 of a CSS pixel and no further', () => {
  const pace = new Pace(false);
  expect(noted(pace, 50, 100)).toBe(2);
  expect(pace.ratio(1)).toBe(0.75);
  expect(pace.ratio(2)).toBe(1.5);
  expect(pace.ratio(0.6)).toBe(0.6);
});

test('one late frame changes nothing', () => {
  const pace = new Pace(false);
  noted(pace, 16.7, 20);
  expect(pace.note(60)).toBe(false);
});

test('pixels come back after a quick while, but only when the scene has come to rest', () => {
  const pace = new Pace(true);
  expect(pace.ratio(1)).toBe(0.75);
  expect(noted(pace, 16.7, 50)).toBe(0);
  expect(pace.ratio(1)).toBe(0.75);
  pace.rest();
  expect(pace.ratio(1)).toBe(0.85);
  pace.rest();
  expect(pace.ratio(1)).toBe(0.85);
});
