import { describe, expect, test } from 'vitest';
import { ApiError, type Api, type FramePart } from '../src/data/api';
import { FrameSource } from '../src/data/frames';
import type { PieceResult } from '../src/data/further';
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
    arrived: (_run, iterations) => arrived.push(...iterations),
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

describe('further parts', () => {
  function setUpPieces(answer: (iterations: readonly number[]) => PieceResult[]) {
    const asked: string[] = [];
    const arrived: number[] = [];
    const api = {
      pieces: async (_run: string, iterations: readonly number[], part: string) => {
        asked.push(`${part} of ${iterations.join()}`);
        return answer(iterations);
      },
      holding: async (_run: string, iteration: number) => {
        asked.push(`holder at ${iteration}`);
        return { iteration: 8, next: 16 };
      },
    } as unknown as Api;
    const source = new FrameSource(api, { arrived: (_run, iterations) => arrived.push(...iterations), unreachable: () => undefined });
    const settled = () => new Promise((resolve) => setTimeout(resolve));
    return { source, asked, arrived, settled };
  }

  test('a piece is asked for once, and is another thing than its frame', async () => {
    const { source, asked, settled } = setUpPieces((iterations) =>
      iterations.map((iteration) => ({ iteration, plan: 0, content: null })),
    );
    for (let times = 0; times < 2; times += 1) {
      source.wish([{ run: 'a', iteration: 8, part: 'cells', priority: Priority.visible }]);
      await settled();
    }
    expect(asked).toEqual(['cells of 8']);
    expect(source.piece('a', 8, 'cells')).toEqual({ iteration: 8, plan: 0, content: null, failure: null });
    expect(source.has('a', 8, 'cells')).toBe(true);
    expect(source.has('a', 8)).toBe(false);
    expect(source.piece('a', 8, 'norms')).toBeUndefined();
  });

  test('a damaged piece leaves its frame alone', async () => {
    const error = { kind: 'damaged' as const, message: 'checksum', key: 'k' };
    const { source, settled } = setUpPieces((iterations) => iterations.map((iteration) => ({ iteration, error })));
    source.wish([{ run: 'a', iteration: 8, part: 'cells', priority: Priority.visible }]);
    await settled();
    expect(source.piece('a', 8, 'cells')?.failure).toEqual(error);
    expect(source.failure('a', 8)).toBeUndefined();
  });

  test('which snapshot holds a part is asked once for a whole range', async () => {
    const { source, asked, arrived, settled } = setUpPieces(() => []);
    expect(source.holder('a', 10, 'cells', 40)).toBeUndefined();
    expect(source.holder('a', 10, 'cells', 40)).toBeUndefined();
    await settled();
    expect(arrived).toEqual([10]);
    expect([8, 15, 16].map((iteration) => source.holder('a', iteration, 'cells', 40))).toEqual([8, 8, 16]);
    expect(asked).toEqual(['holder at 10']);
  });
});

test('a flight lands whole: who wishes anew on the news asks for nothing of it again', async () => {
  const iterations = [1, 2, 3, 4, 5];
  const wishes = iterations.map((iteration) => ({ run: 'a', iteration, priority: Priority.prefetch }));
  const news: (readonly number[])[] = [];
  const asked: (readonly number[])[] = [];
  const api = {
    frames: async (_run: string, some: readonly number[]) => {
      asked.push(some);
      return some.map((iteration) => makeFrame(iteration));
    },
  } as unknown as Api;
  const source: FrameSource = new FrameSource(api, {
    arrived: (_run, some) => {
      news.push(some);
      source.wish(wishes);
    },
    unreachable: () => undefined,
  });
  source.wish(wishes);
  await new Promise((resolve) => setTimeout(resolve));
  expect(news).toEqual([iterations]);
  expect(asked).toEqual([iterations]);
});
