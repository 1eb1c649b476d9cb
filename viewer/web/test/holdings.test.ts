import { expect, test } from 'vitest';
import { Holdings } from '../src/data/holdings';

test('an answer is good for every iteration up to the next holder, and for that one', () => {
  const holdings = new Holdings();
  holdings.learn('a/cells', 13, { iteration: 8, next: 16 }, 100);
  expect([8, 10, 13, 15, 16].map((iteration) => holdings.at('a/cells', iteration))).toEqual([8, 8, 8, 8, 16]);
  expect([7, 17].map((iteration) => holdings.at('a/cells', iteration))).toEqual([undefined, undefined]);
  expect(holdings.at('a/norms', 13)).toBeUndefined();
});

test('where nothing is held before, that is known of everything before', () => {
  const holdings = new Holdings();
  holdings.learn('a/cells', 13, { iteration: null, next: 16 }, 100);
  expect(holdings.at('a/cells', 2)).toBeNull();
});

test('a snapshot that comes later may hold the part, so it is asked about', () => {
  const holdings = new Holdings();
  holdings.learn('a/cells', 18, { iteration: 16, next: null }, 20);
  expect(holdings.at('a/cells', 20)).toBe(16);
  expect(holdings.at('a/cells', 21)).toBeUndefined();
  holdings.learn('a/cells', 25, { iteration: 24, next: null }, 25);
  expect(holdings.at('a/cells', 25)).toBe(24);
});
