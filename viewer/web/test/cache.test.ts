import { expect, test } from 'vitest';
import { ByteLru } from '../src/data/cache';

test('the longest unused value leaves when the budget is exceeded', () => {
  const cache = new ByteLru<string>(30);
  for (const key of ['a', 'b', 'c']) cache.set(key, key, 10);
  cache.get('a');
  cache.set('d', 'd', 10);
  expect(cache.peek('b')).toBeUndefined();
  expect(['a', 'c', 'd'].map((key) => cache.peek(key))).toEqual(['a', 'c', 'd']);
  expect(cache.bytes).toBe(30);
});

test('peeking is not a use', () => {
  const cache = new ByteLru<number>(20);
  cache.set('a', 1, 10);
  cache.set('b', 2, 10);
  cache.peek('a');
  cache.set('c', 3, 10);
  expect(cache.peek('a')).toBeUndefined();
});

test('a value replaced is counted once', () => {
  const cache = new ByteLru<number>(100);
  cache.set('a', 1, 60);
  cache.set('a', 2, 30);
  expect(cache.bytes).toBe(30);
  expect(cache.size).toBe(1);
  cache.delete('a');
  expect(cache.bytes).toBe(0);
});

test('a value larger than the whole budget is kept alone, for it is what is looked at', () => {
  const cache = new ByteLru<number>(10);
  cache.set('a', 1, 5);
  cache.set('huge', 2, 50);
  expect(cache.peek('a')).toBeUndefined();
  expect(cache.peek('huge')).toBe(2);
});

test('the bytes never exceed the budget, whatever comes', () => {
  const cache = new ByteLru<number>(1000);
  for (let index = 0; index < 5000; index += 1) {
    cache.set(`key ${(index * 7919) % 97}`, index, (index * 31) % 300);
    expect(cache.bytes).toBeLessThanOrEqual(1000);
  }
});

test('a smaller budget holds at once, for the longest unused first', () => {
  const cache = new ByteLru<string>(100);
  for (const key of ['a', 'b', 'c']) cache.set(key, key, 30);
  cache.get('a');
  cache.budgetBytes = 60;
  expect([cache.bytes, cache.peek('a'), cache.peek('b'), cache.peek('c')]).toEqual([60, 'a', undefined, 'c']);
  cache.budgetBytes = 10;
  expect(cache.bytes).toBe(0);
});
