import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FrameSource, Wish } from '../src/data/frames';
import { Priority } from '../src/data/scheduler';
import { Loader, type Picture } from '../src/state/loader';
import { initialState, type State } from '../src/state/model';
import { Player } from '../src/state/player';
import { BASE_RATE_hz, strideOf } from '../src/state/stride';
import { reduce } from '../src/state/reducer';
import { Store } from '../src/state/store';
import { info, makeFrame, opened, update } from './made';

/** A source whose frames arrive when the test says so. */
function setUp(state: State) {
  const here = new Set<string>();
  let wishes: readonly Wish[] = [];
  const pictures: Picture[][] = [];
  const key = (run: string, iteration: number) => `${run}/${iteration}`;
  const frames = {
    has: (run: string, iteration: number) => here.has(key(run, iteration)),
    get: (run: string, iteration: number) => (here.has(key(run, iteration)) ? makeFrame(iteration) : undefined),
    failure: () => undefined,
    holder: () => null,
    isLoading: (run: string, iteration: number) =>
      wishes.some((wish) => key(wish.run, wish.iteration) === key(run, iteration)) && !here.has(key(run, iteration)),
    wish: (list: readonly Wish[]) => (wishes = list),
  } as unknown as FrameSource;
  const loader = new Loader(frames, (list) => pictures.push(list));
  let current = state;
  return {
    loader,
    pictures,
    visible: () => wishes.filter((wish) => wish.priority === Priority.visible).map((wish) => wish.iteration),
    prefetched: () => wishes.filter((wish) => wish.priority === Priority.prefetch).map((wish) => wish.iteration),
    shown: () => pictures.map((list) => list.map((picture) => picture.iteration)),
    seek(iteration: number) {
      current = reduce(current, { type: 'seek', iteration });
      loader.follow(current);
    },
    arrive(run: string, iteration: number) {
      here.add(key(run, iteration));
      loader.arrived(current);
    },
    change(next: State) {
      current = next;
      loader.follow(current);
    },
    state: () => current,
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const range = (count: number) => Array.from({ length: count }, (_, index) => index);
const oneRun = opened(info('a', range(100), 'finished')).reduce(reduce, initialState('dark'));
const twoRuns = opened(info('a', range(100), 'finished'), info('b', [0, 50], 'finished')).reduce(
  reduce,
  initialState('dark'),
);

describe('the newest request wins', () => {
  test('an answer to an older request is not shown after a newer one', () => {
    const { seek, arrive, shown } = setUp(oneRun);
    seek(10);
    seek(20);
    arrive('a', 20);
    arrive('a', 10);
    expect(shown()).toEqual([[20]]);
  });

  test('while dragging, the first wish flies on, those between are dropped', () => {
    const { seek, visible } = setUp(oneRun);
    seek(10);
    seek(20);
    seek(30);
    expect(visible()).toEqual([30, 10]);
  });

  test('a picture on the way is shown while the newest is still awaited', () => {
    const { seek, arrive, shown } = setUp(oneRun);
    seek(10);
    seek(30);
    arrive('a', 10);
    arrive('a', 30);
    expect(shown()).toEqual([[10], [30]]);
  });

  test('what is shown already is not shown again', () => {
    const { seek, arrive, shown } = setUp(oneRun);
    seek(10);
    arrive('a', 10);
    arrive('a', 11);
    seek(10);
    expect(shown()).toEqual([[10]]);
  });

  test('a new basis asks for the picture again', () => {
    const { seek, arrive, change, shown, state } = setUp(oneRun);
    seek(10);
    arrive('a', 10);
    change(reduce(state(), { type: 'updated', update: update('a', [], { basis: 9 }), now_unix_s: 0 }));
    expect(shown()).toEqual([[10], [10]]);
  });
});

describe('two runs', () => {
  test('their pictures change in one go, when both are there', () => {
    const { seek, arrive, shown, pictures } = setUp(twoRuns);
    seek(60);
    arrive('a', 60);
    expect(shown()).toEqual([]);
    arrive('b', 50);
    expect(shown()).toEqual([[60, 50]]);
    expect(pictures[0]!.map((picture) => picture.run)).toEqual(['a', 'b']);
  });
});

describe('prefetching', () => {
  test('nothing is prefetched while the cursor jumps about', () => {
    const { seek, prefetched } = setUp(oneRun);
    for (const iteration of [10, 40, 20, 60]) {
      seek(iteration);
      vi.advanceTimersByTime(50);
      expect(prefetched()).toEqual([]);
    }
  });

  test('at rest the neighbours are fetched, while playing what comes next', () => {
    const { seek, prefetched, change, state } = setUp(oneRun);
    seek(10);
    vi.advanceTimersByTime(1000);
    expect(prefetched()[0]).toBe(11);
    const resting = prefetched().length;
    change(reduce(state(), { type: 'playing', playing: true }));
    expect(prefetched().length).toBeGreaterThan(resting);
    expect(Math.min(...prefetched())).toBe(11);
  });
});

test('what is prefetched at high speed is what will be shown', () => {
  const playing = [
    { type: 'seek', iteration: 0 } as const,
    { type: 'speed', speed: 16 } as const,
    { type: 'playing', playing: true } as const,
  ].reduce(reduce, oneRun);
  const { change, prefetched } = setUp(oneRun);
  change(playing);
  const stride = strideOf(16);
  expect(stride).toBeGreaterThan(1);
  expect(prefetched().slice(0, 3)).toEqual([stride, 2 * stride, 3 * stride]);
});

test('while playing, wishes come in groups: most pictures ask for nothing more', () => {
  const { seek, change, prefetched, state } = setUp(oneRun);
  seek(0);
  change(reduce(state(), { type: 'playing', playing: true }));
  const ends = range(40).map((iteration) => {
    change(reduce(state(), { type: 'advance', iteration }));
    return Math.max(...prefetched());
  });
  const grown = ends.flatMap((end, index) => (index > 0 && end > ends[index - 1]! ? [end - ends[index - 1]!] : []));
  expect(new Set(grown)).toEqual(new Set([8]));
  ends.forEach((end, iteration) => expect(end - iteration).toBeGreaterThanOrEqual(24));
});

describe('playback', () => {
  function setUpPlayer() {
    const store = new Store(oneRun);
    let now_ms = 0;
    let next: (() => void) | null = null;
    let waiting = false;
    const clock = {
      now_ms: () => now_ms,
      next: (callback: () => void) => {
        next = callback;
        return 1;
      },
      cancel: () => {
        next = null;
      },
    };
    const player = new Player(store, clock, () => waiting);
    return {
      store,
      player,
      pass: (milliseconds: number) => {
        now_ms += milliseconds;
        const callback = next;
        next = null;
        callback?.();
      },
      wait: (isWaiting: boolean) => (waiting = isWaiting),
      isScheduled: () => next !== null,
    };
  }

  test('walks at the chosen speed', () => {
    const { store, player, pass } = setUpPlayer();
    store.dispatch({ type: 'seek', iteration: 0 });
    player.play();
    for (let step = 0; step < 20; step += 1) pass(50);
    expect(store.state.cursor).toBe(BASE_RATE_hz);
    store.dispatch({ type: 'speed', speed: 4 });
    for (let step = 0; step < 20; step += 1) pass(50);
    expect(store.state.cursor).toBe(5 * BASE_RATE_hz);
  });

  test('waits for pictures and does not make up for the time', () => {
    const { store, player, pass, wait } = setUpPlayer();
    store.dispatch({ type: 'seek', iteration: 0 });
    player.play();
    wait(true);
    for (let step = 0; step < 100; step += 1) pass(50);
    expect(store.state.cursor).toBe(0);
    wait(false);
    pass(125);
    expect(store.state.cursor).toBe(1);
  });

  test('ends at the last snapshot and starts over from there', () => {
    const { store, player, pass, isScheduled } = setUpPlayer();
    store.dispatch({ type: 'seek', iteration: 98 });
    player.play();
    pass(250);
    expect([store.state.cursor, store.state.playing, isScheduled()]).toEqual([99, false, false]);
    player.play();
    expect(store.state.cursor).toBe(0);
  });

  test('pausing stops the clock', () => {
    const { player, pass, isScheduled } = setUpPlayer();
    player.play();
    pass(10);
    player.toggle();
    expect(isScheduled()).toBe(false);
  });
});
