import { describe, expect, test } from 'vitest';
import { ApiError, type Api, type TailRun } from '../src/data/api';
import { Tail, type Stream } from '../src/data/tail';
import type { TailProblem, TailUpdate } from '../src/data/types';

const update = (cursor: string, iterations: number[] = []): TailUpdate => ({
  run: 'a',
  cursor,
  status: 'recording',
  age_s: 0,
  iterations,
  plan: 0,
  basis: null,
  scalars: [],
  events: [],
  committed_unix_s: null,
});

/** A tail over streams, polls and a clock that the test moves by hand. */
function setUp() {
  const streams: { url: string; closed: boolean; open(): void; fail(): void; say(message: unknown, type?: string): void }[] = [];
  const timers: { callback: () => void; delay_ms: number }[] = [];
  const polls: string[] = [];
  const states: string[] = [];
  const updates: TailUpdate[] = [];
  const problems: string[] = [];
  let poll: () => TailUpdate[] = () => [];
  let troubles: TailProblem[] = [];
  const api = {
    tailUrl: (runs: TailRun[]) => runs.map(({ run, cursor }) => `${run}:${cursor}`).join(','),
    poll: async (runs: TailRun[]) => {
      polls.push(runs[0]!.cursor);
      return { updates: poll(), problems: troubles };
    },
  } as unknown as Api;
  const openStream = (url: string): Stream => {
    const listeners: Record<string, (event: MessageEvent<string>) => void> = {};
    const stream: Stream = {
      onopen: null,
      onerror: null,
      addEventListener: (type, given) => (listeners[type] = given),
      close: () => (record.closed = true),
    };
    const record = {
      url,
      closed: false,
      open: () => stream.onopen?.(new Event('open')),
      fail: () => stream.onerror?.(new Event('error')),
      say: (message: unknown, type = 'update') =>
        listeners[type]?.({ data: JSON.stringify(message) } as MessageEvent<string>),
    };
    streams.push(record);
    return stream;
  };
  const tail = new Tail(
    api,
    [{ run: 'a', cursor: '0' }],
    {
      update: (one) => updates.push(one),
      problem: ({ run, error }) => problems.push(`${run}: ${error?.message ?? 'well'}`),
      connection: (state) => states.push(state),
    },
    {
      openStream,
      setTimer: (callback, delay_ms) => timers.push({ callback, delay_ms }),
      clearTimer: (timer) => (timers[timer - 1] = { callback: () => {}, delay_ms: 0 }),
      pollsPerStreamTry: 3,
    },
  );
  const tick = () => new Promise((resolve) => setTimeout(resolve));
  return {
    tail,
    streams,
    timers,
    polls,
    states,
    updates,
    problems,
    tick,
    onTrouble: (...given: TailProblem[]) => (troubles = given),
    /** Each poll is answered by the next of these; after the last there is nothing new. */
    onPoll: (...answers: (() => TailUpdate[])[]) => (poll = () => (answers.length > 1 ? answers.shift()! : answers[0]!)()),
    /** Runs the newest timer. */
    async fire() {
      timers.pop()?.callback();
      await tick();
    },
  };
}

const nothing = (): TailUpdate[] => [];

const gone = () => {
  throw new ApiError('network', 'gone');
};

describe('streaming', () => {
  test('updates come through, and the stream is live once it is open', () => {
    const { tail, streams, updates, states } = setUp();
    tail.start();
    streams[0]!.open();
    streams[0]!.say(update('5', [41]));
    expect(states).toEqual(['live']);
    expect(updates.map((one) => one.iterations)).toEqual([[41]]);
  });

  test('a new stream starts at the newest cursor, so nothing comes twice', async () => {
    const { tail, streams, tick, fire } = setUp();
    tail.start();
    streams[0]!.open();
    streams[0]!.say(update('7'));
    streams[0]!.fail();
    await tick();
    await fire();
    expect(streams[0]!.closed).toBe(true);
    expect(streams[1]!.url).toBe('a:7');
  });

  test('a run that cannot be followed any more is told, and the stream stays', () => {
    const { tail, streams, problems } = setUp();
    tail.start();
    streams[0]!.say({ run: 'a', error: { kind: 'damaged', message: 'checksum' } }, 'problem');
    expect(problems).toEqual(['a: checksum']);
    expect(streams[0]!.closed).toBe(false);
    streams[0]!.say({ run: 'a', error: null }, 'problem');
    expect(problems).toEqual(['a: checksum', 'a: well']);
  });

  test('trouble that ended while nobody listened is taken back by the next stream', () => {
    const { tail, streams, problems } = setUp();
    tail.start();
    streams[0]!.open();
    streams[0]!.say({ run: 'a', error: { kind: 'unreachable', message: 'away' } }, 'problem');
    tail.retry();
    expect(problems.at(-1)).toBe('a: away');
    streams.at(-1)!.open();
    expect(problems.at(-1)).toBe('a: well');
  });

  test('after closing nothing is opened or told any more', async () => {
    const { tail, streams, updates, states, tick } = setUp();
    tail.start();
    tail.close();
    streams[0]!.fail();
    await tick();
    expect(streams).toHaveLength(1);
    expect([updates, states]).toEqual([[], []]);
  });
});

describe('a server without streams', () => {
  test('is asked until it has nothing new, for a long history comes in pieces', async () => {
    const { tail, streams, updates, polls, onPoll, tick } = setUp();
    onPoll(() => [update('5000')], () => [update('7000')], nothing);
    tail.start();
    streams[0]!.fail();
    await tick();
    expect(updates.map((one) => one.cursor)).toEqual(['5000', '7000']);
    expect(polls).toEqual(['0', '5000', '7000']);
  });

  test('tells of trouble with each answer, and when it is over', async () => {
    const { tail, streams, problems, onTrouble, tick, fire } = setUp();
    onTrouble({ run: 'a', error: { kind: 'unreachable', message: 'away' } });
    tail.start();
    streams[0]!.fail();
    await tick();
    expect(problems).toEqual(['a: away']);
    onTrouble();
    await fire();
    expect(problems).toEqual(['a: away', 'a: well']);
    await fire();
    expect(problems).toHaveLength(2);
  });

  test('is polled, and a stream is tried now and then', async () => {
    const { tail, streams, polls, states, updates, onPoll, tick, fire } = setUp();
    onPoll(() => [update('9', [1])], nothing);
    tail.start();
    streams[0]!.fail();
    await tick();
    expect(states).toEqual(['polling']);
    expect(updates).toHaveLength(1);
    await fire();
    await fire();
    expect(polls).toEqual(['0', '9', '9', '9']);
    expect(streams).toHaveLength(1);
    await fire();
    expect(streams).toHaveLength(2);
  });
});

describe('a server that is gone', () => {
  test('is lost, asked again after growing delays, and found again', async () => {
    const { tail, streams, states, timers, onPoll, tick, fire } = setUp();
    tail.start();
    streams[0]!.open();
    onPoll(gone);
    streams[0]!.fail();
    await tick();
    expect(states).toEqual(['live', 'lost']);
    const first = timers.at(-1)!.delay_ms;
    await fire();
    expect(timers.at(-1)!.delay_ms).toBeGreaterThan(first);
    onPoll(() => []);
    await fire();
    expect(states.at(-1)).toBe('polling');
    await fire();
    streams.at(-1)!.open();
    expect(states.at(-1)).toBe('live');
  });

  test('a stream that is silent is checked; if the server is gone, that is seen', async () => {
    const { tail, streams, states, onPoll, fire } = setUp();
    tail.start();
    streams[0]!.open();
    onPoll(gone);
    await fire();
    expect(states).toEqual(['live', 'lost']);
  });

  test('a dead stream that misses news is replaced', async () => {
    const { tail, streams, updates, onPoll, fire } = setUp();
    tail.start();
    streams[0]!.open();
    onPoll(() => [update('3', [8])], nothing);
    await fire();
    expect(updates).toHaveLength(1);
    expect(streams[1]!.url).toBe('a:3');
  });

  test('trying again at once does not wait for the delay', async () => {
    const { tail, streams, onPoll, tick } = setUp();
    tail.start();
    onPoll(gone);
    streams[0]!.fail();
    await tick();
    tail.retry();
    expect(streams).toHaveLength(2);
  });
});
