import { encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { decodeClusters, decodeProjected, decodeTrails } from '../src/data/cloud';
import { CATEGORIES, categoryOf, NEUTRAL, trailColour } from '../src/layout/categories';
import type { Rgb } from '../src/layout/colour';
import { distancesMoved, extended } from '../src/layout/moves';
import { Cloud } from '../src/render/cloud';
import { SCENE_THEMES } from '../src/render/theme';
import { Trails } from '../src/render/trails';
import type { FrameEmbedding } from '../src/data/types';

const PLACE = { x: 10, y: 20, size: 4 };
const raw = (array: Float32Array | Int32Array | BigInt64Array) => new Uint8Array(array.buffer);
const body = (value: unknown) => new Uint8Array(encode(value)).buffer;

function embedding(coordinates: number[], basis = 0): FrameEmbedding {
  const magnitude = Float32Array.from({ length: coordinates.length / 3 }, (_, index) => index);
  return { tensor: 'wte', basis, exact: true, coordinates: new Float32Array(coordinates), magnitude, explained: [] };
}

describe('what the server tells of the cloud', () => {
  test('trails come as one way for each token', () => {
    const trails = decodeTrails(
      body({
        basis: 8,
        tokens: [3, 5],
        iterations: raw(new BigInt64Array([0n, 4n])),
        coordinates: raw(new Float32Array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
      }),
    );
    expect(trails.map(({ token, basis }) => [token, basis])).toEqual([[3, 8], [5, 8]]);
    expect([...trails[1]!.points]).toEqual([7, 8, 9, 10, 11, 12]);
    expect([...trails[1]!.iterations]).toEqual([0, 4]);
  });

  test('a picture computed once, and clusters, come with their tokens', () => {
    const projected = decodeProjected(
      body({ iteration: 4, tokens: raw(new Int32Array([7])), coordinates: raw(new Float32Array([1, 2, 3])) }),
    );
    expect([projected.iteration, [...projected.tokens], [...projected.coordinates]]).toEqual([4, [7], [1, 2, 3]]);
    const clusters = decodeClusters(
      body({ iteration: 4, tokens: raw(new Int32Array([7, 9])), numbers: raw(new Int32Array([2, -1])) }),
    );
    expect([...clusters.numbers]).toEqual([2, -1]);
  });

  test('numbers that do not fit together are refused', () => {
    const wrong = { iteration: 4, tokens: raw(new Int32Array([7])), coordinates: raw(new Float32Array([1])) };
    expect(() => decodeProjected(body(wrong))).toThrow(/three numbers/);
  });
});

describe('moves', () => {
  test('are Euclidean distances, and -1 where one end is unknown', () => {
    const moved = distancesMoved(new Float32Array([0, 0, 0, NaN, 0, 0]), new Float32Array([3, 4, 12, 1, 1, 1]));
    expect([...moved]).toEqual([13, -1]);
    expect(distancesMoved(new Float32Array(6), new Float32Array(6), moved)).toBe(moved);
  });

  test('a way grows at its end only', () => {
    const way = { iterations: new Float64Array([0, 4]), points: new Float32Array(6) };
    expect(extended(way, 4, [1, 1, 1])).toBe(way);
    const longer = extended(way, 5, [1, 2, 3]);
    expect([...longer.iterations]).toEqual([0, 4, 5]);
    expect([...longer.points.slice(-3)]).toEqual([1, 2, 3]);
  });
});

describe('the points', () => {
  const cloud = new Cloud(PLACE, 100, 1);
  const array = (name: string) => cloud.points.geometry.getAttribute(name).array;

  test('go into the same buffers with every snapshot', () => {
    cloud.show(embedding([0, 0, 0, 1, 1, 1]), 0, false);
    const before = ['position', 'aFrom', 'aShade'].map(array);
    cloud.show(embedding([2, 2, 2, 3, 3, 3]), 0, false);
    expect(['position', 'aFrom', 'aShade'].map(array)).toEqual(before);
    ['position', 'aFrom', 'aShade'].forEach((name, index) => expect(array(name)).toBe(before[index]));
    expect([...array('position')]).toEqual([2, 2, 2, 3, 3, 3]);
  });

  test('glide from where they were to another basis', () => {
    cloud.show(embedding([0, 0, 0, 1, 1, 1], 0), 0, true);
    cloud.show(embedding([5, 5, 5, 6, 6, 6], 1), 0, true);
    expect([...array('aFrom')]).toEqual([0, 0, 0, 1, 1, 1]);
    expect(cloud.isGliding).toBe(true);
    cloud.show(embedding([7, 7, 7, 8, 8, 8], 1), 0, true);
    expect([...array('aFrom')]).toEqual([7, 7, 7, 8, 8, 8]);
  });

  test('that are not finite are out of sight', () => {
    cloud.show(embedding([NaN, 0, 0, 1, 1, 1]), 0, false);
    expect(cloud.placeOf(0)).toBeNull();
    expect(cloud.placeOf(1)).toEqual([1, 1, 1]);
    expect(cloud.known!.extent).toBeLessThan(2);
  });

  test('keep the shades they were given until others come', () => {
    const shades = { values: new Float32Array([3, NaN]), range: null, palette: CATEGORIES.dark };
    cloud.shade(shades, null);
    cloud.show(embedding([0, 0, 0, 1, 1, 1]), 0, false);
    expect([...array('aShade')]).toEqual([3, -1]);
    cloud.shade(null, new Float32Array([8, 9]));
    expect([...array('aShade')]).toEqual([8, 9]);
  });

  test('are every so many tokens where there are too many to draw', () => {
    const some = new Cloud(PLACE, 2, 1);
    some.show(embedding([0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0]), 0, false);
    expect(some.known).toMatchObject({ shown: 2, tokens: 4 });
    expect([0, 1].map((point) => some.tokenOf(point))).toEqual([0, 2]);
    expect([0, 1, 2, 3].map((row) => some.pointOf(row))).toEqual([0, null, 1, null]);
    expect(some.pointOf(-1)).toBeNull();
  });

  test('show coordinates that were computed once instead of their own', () => {
    cloud.show(embedding([0, 0, 0, 1, 1, 1]), 0, false, new Float32Array([9, 9, 9, 8, 8, 8]));
    expect([...array('position')]).toEqual([9, 9, 9, 8, 8, 8]);
  });
});

describe('trails', () => {
  const way = (steps: number, at = 0) => ({
    iterations: Float64Array.from({ length: steps }, (_, index) => index),
    points: Float32Array.from({ length: steps * 3 }, () => at),
    colour: [1, 0, 0] as Rgb,
  });

  test('are one mesh of bounded length, with gaps where nothing is known', () => {
    const trails = new Trails(PLACE);
    expect(trails.mesh.visible).toBe(false);
    trails.setWays([way(5), way(3)]);
    expect(trails.length).toBe(6);
    const broken = way(5);
    broken.points[6] = NaN;
    trails.setWays([broken]);
    expect(trails.length).toBe(2);
    trails.setWays(Array.from({ length: 6 }, () => way(5000)));
    expect(trails.length).toBeLessThanOrEqual(6000);
    trails.setWays([]);
    expect(trails.mesh.visible).toBe(false);
  });

  test('lines to neighbours need no ways', () => {
    const trails = new Trails(PLACE);
    trails.setLinks([0, 0, 0], [[1, 1, 1]], [1, 1, 1]);
    expect(trails.mesh.visible).toBe(true);
    trails.setLinks(null, [], [1, 1, 1]);
    expect(trails.mesh.visible).toBe(false);
  });
});

/** Linear RGB as somebody without green or red receptors sees it (Machado, Oliveira and Fernandes 2009). */
const BLINDNESS: number[][][] = [
  [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  [[0.367, 0.861, -0.228], [0.28, 0.673, 0.047], [-0.012, 0.043, 0.969]],
  [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
];

describe.each(['dark', 'light'] as const)('categories on a %s ground', (theme) => {
  const linear = (colour: Rgb) => colour.map((channel) => channel ** 2.2);
  const seen = (colour: Rgb, sight: number[][]) =>
    sight.map((row) => Math.max(row.reduce((sum, weight, index) => sum + weight * linear(colour)[index]!, 0), 0) ** (1 / 2.2));
  const apart = (a: number[], b: number[]) => Math.hypot(...a.map((channel, index) => channel - b[index]!));

  test.each([0, 1, 2])('are told apart by every kind of sight (%i)', (kind) => {
    const colours = CATEGORIES[theme].map((colour) => seen(colour, BLINDNESS[kind]!));
    for (const [index, colour] of colours.entries()) {
      for (const other of colours.slice(0, index)) expect(apart(colour, other)).toBeGreaterThan(0.25);
    }
  });

  test('stand out from the ground', () => {
    const light = (colour: Rgb) => 0.2126 * linear(colour)[0]! + 0.7152 * linear(colour)[1]! + 0.0722 * linear(colour)[2]!;
    const ground = light(SCENE_THEMES[theme].background);
    for (const colour of [...CATEGORIES[theme], NEUTRAL[theme]]) {
      const [high, low] = [Math.max(light(colour), ground), Math.min(light(colour), ground)];
      expect((high + 0.05) / (low + 0.05)).toBeGreaterThan(2);
    }
  });

  test('begin again where there are more clusters than colours', () => {
    expect(categoryOf(8, theme)).toEqual(categoryOf(0, theme));
    expect(categoryOf(-1, theme)).toEqual(NEUTRAL[theme]);
    expect(new Set([0, 1, 2, 3, 4, 5].map((order) => trailColour(order, theme).join())).size).toBe(6);
  });
});
