import { describe, expect, test } from 'vitest';
import { indexAtOrBefore, mergeIterations, nearestIndex } from '../src/state/timeline';
import { GrowingSeries } from '../src/state/series';
import { align, fractionalIndex } from '../src/ui/align';

const adaptive = [...Array.from({ length: 100 }, (_, i) => i), ...Array.from({ length: 90 }, (_, i) => 100 + 10 * i)];

describe('searching', () => {
  test('the newest at or before agrees with a plain search everywhere', () => {
    for (let cursor = -3; cursor < 1010; cursor += 1) {
      expect(indexAtOrBefore(adaptive, cursor)).toBe(adaptive.findLastIndex((iteration) => iteration <= cursor));
    }
  });

  test('the nearest is nearest, and of two equally near the earlier', () => {
    expect(adaptive[nearestIndex(adaptive, 104)]).toBe(100);
    expect(adaptive[nearestIndex(adaptive, 105)]).toBe(100);
    expect(adaptive[nearestIndex(adaptive, 106)]).toBe(110);
    expect(adaptive[nearestIndex(adaptive, -5)]).toBe(0);
    expect(adaptive[nearestIndex(adaptive, 1e9)]).toBe(990);
    expect(nearestIndex([], 3)).toBe(-1);
  });
});

describe('merging', () => {
  test('is the ascending union', () => {
    expect(mergeIterations([1, 3, 5], [2, 3, 6])).toEqual([1, 2, 3, 5, 6]);
    expect(mergeIterations([], [4])).toEqual([4]);
    expect(mergeIterations([4], [])).toEqual([4]);
    expect(mergeIterations([1, 2], [3])).toEqual([1, 2, 3]);
  });
});

describe('growing series', () => {
  test('takes values in any order and keeps the last one of an iteration', () => {
    const series = new GrowingSeries();
    series.add(1, 10);
    series.add(5, 50);
    series.add(3, 30);
    series.add(5, 51);
    expect(series.iterations).toEqual([1, 3, 5]);
    expect(series.values).toEqual([10, 30, 51]);
    expect(series.at(4)).toBe(30);
    expect(series.at(0)).toBeNull();
  });
});

describe('charts', () => {
  test('several curves share one axis; what is missing or not finite is a gap', () => {
    const aligned = align([
      { iterations: [1, 2, 4], values: [10, NaN, 40] },
      { iterations: [2, 3], values: [200, 300] },
    ]);
    expect(aligned).toEqual([
      [1, 2, 3, 4],
      [10, null, null, 40],
      [null, 200, 300, null],
    ]);
  });

  test('one curve alone keeps its iterations', () => {
    expect(align([{ iterations: [1, 2], values: [1, Infinity] }])).toEqual([[1, 2], [1, null]]);
    expect(align([])).toEqual([[]]);
  });

  test('an iteration lies between its recorded neighbours in proportion', () => {
    expect(fractionalIndex(adaptive, 50)).toBe(50);
    expect(fractionalIndex(adaptive, 105)).toBe(100.5);
    expect(fractionalIndex(adaptive, 5000)).toBe(189);
    expect(fractionalIndex([], 3)).toBe(0);
  });
});
