import { describe, expect, test } from 'vitest';
import { ApiError, type Api, type FramePart } from '../src/data/api';
import { FrameSource } from '../src/data/frames';
import { Priority } from '../src/data/scheduler';
import type { FrameResult } from '../src/data/types';
import { makeFrame } from './made';

interface Call {
  iterations: readonly number[];
  part: FramePart;
  basis: number | null;
}

/** A source over a server that answers at once from `answer`. */
function setUp(answer: (call: Call) => FrameResult[] | Promise<FrameResult[]>) {
  const calls: Call[] = [];
  const arrived: number[] = [];
  const unreachable: string[] = [];
  const api = {
    frames: async (_run: string, iterations: readonly number[], part: FramePart, basis: number | null) => {
      const call = { iterations, part, basis };
      calls.push(call);
      return answer(call);
    },
  } as unknown as Api;
  const source = new FrameSource(api, {
    arrived: (_run, iteration) => arrived.push(iteration),
    unreachable: (kind) => unreachable.push(kind),
  });
  const wish = async (...iterations: number[]) => {
    source.wish(iterations.map((iteration) => ({ run: 'a', iteration, priority: Priority.visible })));
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { source, calls, arrived, unreachable, wish };
}

test('a frame is asked for once and then comes from memory', async () => {
  const { source, calls, wish } = setUp(({ iterations }) => iterations.map((iteration) => makeFrame(iteration)));
  await wish(5);
  await wish(5);
  expect(calls).toHaveLength(1);
  expect(source.get('a', 5)?.iteration).toBe(5);
  expect(source.counters.cacheBytes).toBeGreaterThan(0);
});

describe('projections', () => {
  test('when another basis is recommended, only the embedding is fetched again', async () => {
    const { source, calls, wish } = setUp(({ iterations, basis }) => iterations.map((one) => makeFrame(one, basis)));
    source.setBasis('a', 2);
    await wish(5);
    const before = source.get('a', 5)!;
    source.setBasis('a', 31);
    expect(source.get('a', 5)).toBeUndefined();
    await wish(5);
    const after = source.get('a', 5)!;
    expect(calls.map((call) => call.part)).toEqual(['frame', 'embedding']);
    expect(after.embedding!.basis).toBe(31);
    expect(after.values).toBe(before.values);
  });
});

describe('failures', () => {
  test('a damaged frame is known by its reason and is not asked for in a loop', async () => {
    const { source, calls, arrived, wish } = setUp(() => {
      throw new ApiError('damaged', 'checksum', 'iterations/5/values');
    });
    await wish(5);
    await wish(5);
    expect(calls).toHaveLength(1);
    expect(arrived).toEqual([5]);
    expect(source.get('a', 5)).toBeUndefined();
    expect(source.failure('a', 5)).toEqual({ kind: 'damaged', message: 'checksum', key: 'iterations/5/values' });
  });

  test('a damaged member of a list does not spoil its neighbours', async () => {
    const error = { kind: 'damaged' as const, message: 'checksum', key: 'k' };
    const { source } = setUp(({ iterations }) => iterations.map((one) => (one === 2 ? { iteration: 2, error } : makeFrame(one))));
    source.wish([1, 2, 3].map((iteration) => ({ run: 'a', iteration, priority: Priority.prefetch })));
    await new Promise((resolve) => setTimeout(resolve));
    expect(source.get('a', 1)?.iteration).toBe(1);
    expect(source.failure('a', 2)).toEqual(error);
    expect(source.get('a', 3)?.iteration).toBe(3);
  });

  test('a server that is away leaves the wish open', async () => {
    let away = true;
    const { source, unreachable, wish } = setUp(({ iterations }) => {
      if (away) throw new ApiError('network', 'gone');
      return iterations.map((one) => makeFrame(one));
    });
    await wish(5);
    expect(unreachable).toEqual(['network']);
    expect(source.failure('a', 5)).toBeUndefined();
    away = false;
    await wish(5);
    expect(source.get('a', 5)?.iteration).toBe(5);
  });

  test('after forgetting, a mended frame is read again', async () => {
    let damaged = true;
    const { source, wish } = setUp(({ iterations }) => {
      if (damaged) throw new ApiError('damaged', 'checksum');
      return iterations.map((one) => makeFrame(one));
    });
    await wish(5);
    damaged = false;
    source.forgetFailures();
    await wish(5);
    expect(source.get('a', 5)?.iteration).toBe(5);
  });
});
