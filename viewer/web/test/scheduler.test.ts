import { describe, expect, test } from 'vitest';
import { Priority, Scheduler, wantKey, type Want } from '../src/data/scheduler';

interface Flight {
  batch: readonly Want[];
  signal: AbortSignal;
  land: (deliver?: () => void) => Promise<void>;
}

/** A scheduler whose requests are answered by hand. */
function setUp(options = {}) {
  const flights: Flight[] = [];
  const scheduler = new Scheduler((batch, signal) => {
    const { promise, resolve } = withResolvers();
    const land = async (deliver = () => {}) => {
      resolve(deliver);
      await promise;
      await Promise.resolve();
    };
    flights.push({ batch, signal, land });
    return promise;
  }, options);
  const flying = () => flights.filter((flight) => !flight.signal.aborted);
  return { scheduler, flights, flying };
}

function withResolvers() {
  let resolve!: (deliver: () => void) => void;
  const promise = new Promise<() => void>((done) => (resolve = done));
  return { promise, resolve };
}

const want = (iteration: number, priority: Priority = Priority.visible, run = 'a'): Want => ({
  run,
  iteration,
  part: 'frame',
  priority,
});

const range = (count: number, priority: Priority) => Array.from({ length: count }, (_, index) => want(index, priority));

describe('limits', () => {
  test('never more than six requests fly, and each landing starts the next', async () => {
    const { scheduler, flights } = setUp({ maxBatch: 1 });
    scheduler.setWants(range(20, Priority.visible));
    expect(scheduler.inFlight).toBe(6);
    for (let index = 0; index < 20; index += 1) {
      await flights[index]!.land();
      expect(scheduler.inFlight).toBeLessThanOrEqual(6);
    }
    expect(flights).toHaveLength(20);
    expect(scheduler.inFlight).toBe(0);
  });

  test('prefetching leaves room for what is visible', () => {
    const { scheduler, flights } = setUp({ maxBatch: 1 });
    scheduler.setWants(range(20, Priority.prefetch));
    expect(flights).toHaveLength(4);
  });

  test('prefetched frames share requests, a visible one goes alone', () => {
    const { scheduler, flights } = setUp({ maxBatch: 8 });
    scheduler.setWants([want(100), ...range(20, Priority.prefetch)]);
    expect(flights.map((flight) => flight.batch.length)).toEqual([1, 8, 8, 4]);
  });

  test('a batch holds one run and one part only', () => {
    const { scheduler, flights } = setUp();
    scheduler.setWants([
      want(1, Priority.prefetch, 'a'),
      want(1, Priority.prefetch, 'b'),
      { ...want(2, Priority.prefetch, 'a'), part: 'embedding' },
      want(3, Priority.prefetch, 'a'),
    ]);
    expect(flights.map((flight) => flight.batch.map(wantKey))).toEqual([
      ['a/1/frame', 'a/3/frame'],
      ['b/1/frame'],
      ['a/2/embedding'],
    ]);
  });
});

describe('order', () => {
  test('visible goes before prefetch, prefetch before recent', () => {
    const { scheduler, flights } = setUp({ maxBatch: 1, maxInFlight: 6, reservedForVisible: 0 });
    scheduler.setWants([want(3, Priority.recent), want(2, Priority.prefetch), want(1)]);
    expect(flights.map((flight) => flight.batch[0]!.iteration)).toEqual([1, 2, 3]);
  });

  test('something visible takes the place of a prefetch when all places are taken', () => {
    const { scheduler, flying } = setUp({ maxBatch: 1, maxInFlight: 4, reservedForVisible: 0 });
    const ahead = range(4, Priority.prefetch);
    scheduler.setWants(ahead);
    scheduler.setWants([want(50), ...ahead]);
    expect(scheduler.inFlight).toBe(4);
    expect(flying().map((flight) => flight.batch[0]!.iteration)).toContain(50);
  });
});

describe('overtaking', () => {
  test('a request that nobody wants any more is aborted', () => {
    const { scheduler, flights } = setUp();
    scheduler.setWants([want(1)]);
    scheduler.setWants([want(2)]);
    expect(flights[0]!.signal.aborted).toBe(true);
    expect(flights[1]!.signal.aborted).toBe(false);
    expect(scheduler.aborted).toBe(1);
  });

  test('a request still wanted is not sent again', () => {
    const { scheduler, flights } = setUp();
    scheduler.setWants([want(1)]);
    scheduler.setWants([want(1), want(2)]);
    expect(flights).toHaveLength(2);
    expect(scheduler.aborted).toBe(0);
  });

  test('a batch flies on while one of its frames is wanted', () => {
    const { scheduler, flights } = setUp();
    scheduler.setWants(range(8, Priority.prefetch));
    scheduler.setWants([want(7)]);
    expect(flights).toHaveLength(1);
    expect(flights[0]!.signal.aborted).toBe(false);
  });

  test('an aborted request delivers nothing, even if its answer was on the way', async () => {
    const { scheduler, flights } = setUp();
    let delivered = false;
    scheduler.setWants([want(1)]);
    scheduler.setWants([]);
    await flights[0]!.land(() => (delivered = true));
    expect(delivered).toBe(false);
  });

  test('wishing anew while an answer is handed over finds that flight landed', async () => {
    const { scheduler, flights } = setUp();
    scheduler.setWants([want(1)]);
    await flights[0]!.land(() => scheduler.setWants([want(2)]));
    expect(scheduler.aborted).toBe(0);
    expect(flights).toHaveLength(2);
  });
});
