import { expect, test } from 'vitest';
import { placeCard } from '../src/layout/card';
import { meets, type ScreenRect } from '../src/layout/labels';
import { PIN_HEIGHT_px, placePins, type Pin } from '../src/layout/pins';

const rectOf = (pin: Pin, place: { left: number; top: number }): ScreenRect => ({
  ...{ left: place.left, top: place.top, width: pin.width, height: PIN_HEIGHT_px },
});

test('a name alone stands at the right of its point', () => {
  const [place] = placePins([{ x: 100, y: 50, width: 40 }]);
  expect(place).toMatchObject({ slot: 0, isLed: false });
  expect(place!.left).toBeGreaterThan(100);
});

test('names of points in one spot all stand apart, and lines lead to those that had to go', () => {
  const pins = Array.from({ length: 6 }, (_, number) => ({ x: 200 + number, y: 100 + (number % 2), width: 40 + number }));
  const places = placePins(pins);
  expect(places.every((place) => place !== null)).toBe(true);
  const rects = places.map((place, number) => rectOf(pins[number]!, place!));
  for (const [index, a] of rects.entries()) for (const b of rects.slice(index + 1)) expect(meets(a, b)).toBe(false);
  expect(places.filter((place) => place!.isLed).length).toBeGreaterThanOrEqual(4);
});

test('a name gives way to what is blocked and keeps its place where that is free', () => {
  const pin = { x: 100, y: 50, width: 40 };
  const right = { left: 105, top: 40, width: 60, height: 20 };
  const [moved] = placePins([pin], [right]);
  expect(meets(rectOf(pin, moved!), right)).toBe(false);
  expect(placePins([pin], [], [moved!.slot])[0]!.slot).toBe(moved!.slot);
});

test('a name that finds no place is left out', () => {
  expect(placePins([{ x: 100, y: 50, width: 40 }], [{ left: -500, top: -500, width: 1200, height: 1200 }])).toEqual([null]);
});

const room = { left: 0, top: 0, width: 1000, height: 600 };
const size = { width: 200, height: 150 };

test('a card stands beside what it tells of', () => {
  const plate = { left: 300, top: 200, width: 200, height: 200 };
  const under = { left: 350, top: 405, width: 80, height: 17 };
  const at = { x: 490, y: 390 };
  const place = placeCard(at, size, room, [[plate, under]], 18);
  for (const rect of [plate, under]) expect(meets({ ...place, ...size }, rect)).toBe(false);
});

test('where all of it leaves no room, a card keeps clear of the nearest part', () => {
  const parts = [0, 250, 500, 750].map((left) => ({ left, top: 100, width: 240, height: 400 }));
  const place = placeCard({ x: 100, y: 300 }, size, room, [parts, [parts[0]!]], 18);
  expect(meets({ ...place, ...size }, parts[0]!)).toBe(false);
});

test('over something that fills the room a card stands beside the pointer, and not on its names', () => {
  const all = { left: -10, top: -10, width: 2000, height: 2000 };
  const name = { left: 520, top: 300, width: 80, height: 17 };
  const at = { x: 500, y: 300 };
  const place = placeCard(at, size, room, [[all, name]], 18);
  expect(meets({ ...place, ...size }, name)).toBe(false);
  expect(meets({ ...place, ...size }, { left: at.x, top: at.y, width: 1, height: 1 })).toBe(false);
});

test('a card never leaves its room', () => {
  for (const at of [{ x: 0, y: 0 }, { x: 999, y: 599 }, { x: 500, y: 2 }]) {
    const { left, top } = placeCard(at, size, room, [], 18);
    expect(left >= 0 && top >= 0 && left + size.width <= 1000 && top + size.height <= 600).toBe(true);
  }
});
