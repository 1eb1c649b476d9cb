import { describe, expect, test, vi } from 'vitest';
import type { FrameSource, Wish } from '../src/data/frames';
import { Loader, type Picture } from '../src/state/loader';
import { changedLook, FIRST_LOOK, type Look } from '../src/state/look';
import { initialState, type State } from '../src/state/model';
import { recipeOf } from '../src/state/recipe';
import { reduce } from '../src/state/reducer';
import { info, makeFrame, opened } from './made';

const range = (count: number) => Array.from({ length: count }, (_, index) => index * 10);
const two = opened(info('a', range(10), 'finished'), info('b', [0, 20, 40], 'finished')).reduce(reduce, initialState('dark'));
const look = (state: State, wish: Partial<Look>) => reduce(state, { type: 'look', look: wish });
const at = (iteration: number, wish: Partial<Look>) => look(reduce(two, { type: 'seek', iteration }), wish);

describe('looks', () => {
  test('change field by field', () => {
    const changed = changedLook(FIRST_LOOK, { scale: 'quantile' });
    expect(changed).toEqual({ ...FIRST_LOOK, scale: 'quantile' });
  });

  test('cells are of values: the newer wish wins', () => {
    expect(changedLook({ ...FIRST_LOOK, colourBy: 'gradient' }, { source: 'cells_mean' }).colourBy).toBe('value');
    expect(changedLook({ ...FIRST_LOOK, source: 'cells_mean' }, { colourBy: 'gradient' }).source).toBe('auto');
  });

  test('so many snapshots back is a whole number from 1 on', () => {
    expect(changedLook(FIRST_LOOK, { snapshotsBack: 0 }).snapshotsBack).toBe(1);
    expect(changedLook(FIRST_LOOK, { snapshotsBack: 2.6 }).snapshotsBack).toBe(3);
    expect(changedLook(FIRST_LOOK, { snapshotsBack: NaN }).snapshotsBack).toBe(FIRST_LOOK.snapshotsBack);
  });
});

describe('what a picture is made of', () => {
  const second = (iteration: number, wish: Partial<Look>, run = 'a') => recipeOf(at(iteration, wish), run, iteration).second;

  test('values alone, with cells that may come late', () => {
    expect(recipeOf(at(50, {}), 'a', 50)).toEqual({ second: null, part: null, cells: 'late', norms: 'late' });
  });

  test('a change needs the first snapshot, or the one so many before', () => {
    expect(second(50, { colourBy: 'since_start' })).toEqual({ run: 'a', iteration: 0, use: 'reference' });
    expect(second(50, { colourBy: 'since_k', snapshotsBack: 3 })?.iteration).toBe(20);
    expect(second(10, { colourBy: 'since_k', snapshotsBack: 3 })?.iteration).toBe(0);
  });

  test('a difference needs the other run as it is at the cursor', () => {
    expect(second(50, { colourBy: 'other_run' })).toEqual({ run: 'b', iteration: 40, use: 'reference' });
    expect(second(50, { colourBy: 'other_run' }, 'b')).toEqual({ run: 'a', iteration: 50, use: 'reference' });
    const alone = opened(info('a', range(10))).reduce(reduce, initialState('dark'));
    expect(recipeOf(look(alone, { colourBy: 'other_run' }), 'a', 50).second).toBeNull();
  });

  test('gradients and updates are samples of their own, without cells', () => {
    expect(recipeOf(at(50, { colourBy: 'gradient' }), 'a', 50)).toMatchObject({ part: 'gradient_values', cells: 'none' });
    expect(recipeOf(at(50, { colourBy: 'update' }), 'a', 50)).toMatchObject({ part: 'update_values', second: null });
  });

  test('what was asked for by name is needed', () => {
    expect(recipeOf(at(50, { source: 'cells_absmax', sort: 'rows' }), 'a', 50)).toMatchObject({ cells: 'needed', norms: 'needed' });
    expect(recipeOf(at(50, { source: 'samples' }), 'a', 50).cells).toBe('none');
  });

  test('only while playing, and only if wished for, the next snapshot is mixed in', () => {
    const resting = at(50, { interpolate: true });
    expect(recipeOf(resting, 'a', 50).second).toBeNull();
    const playing = reduce(resting, { type: 'playing', playing: true });
    expect(recipeOf(playing, 'a', 50).second).toEqual({ run: 'a', iteration: 60, use: 'next' });
    expect(recipeOf(playing, 'b', 40).second).toBeNull();
    expect(recipeOf(look(playing, { interpolate: false }), 'a', 50).second).toBeNull();
    expect(recipeOf(look(playing, { source: 'cells_mean' }), 'a', 50).second).toBeNull();
  });
});

describe('loading', () => {
  /** Key snapshots are those at multiples of 40. */
  function setUp() {
    const here = new Set<string>();
    let wishes: readonly Wish[] = [];
    const pictures: Picture[][] = [];
    const name = (run: string, iteration: number, part = 'frame') => `${run}/${iteration}/${part}`;
    const frames = {
      has: (run: string, iteration: number, part?: string) => here.has(name(run, iteration, part)),
      get: (run: string, iteration: number) => (here.has(name(run, iteration)) ? makeFrame(iteration) : undefined),
      failure: () => undefined,
      isLoading: () => false,
      holder: (_run: string, iteration: number) => iteration - (iteration % 40),
      piece: (run: string, iteration: number, part: string) =>
        here.has(name(run, iteration, part)) ? { iteration, plan: 0, content: {}, failure: null } : undefined,
      wish: (list: readonly Wish[]) => (wishes = list),
    } as unknown as FrameSource;
    const loader = new Loader(frames, (list) => pictures.push(list));
    const wished = () => wishes.map(({ run, iteration, part }) => name(run, iteration, part));
    const arrive = (state: State, ...names: string[]) => {
      for (const one of names) here.add(one);
      loader.arrived(state);
    };
    return { loader, pictures, wished, arrive };
  }
  const one = opened(info('a', range(10), 'finished')).reduce(reduce, initialState('dark'));
  const seeked = (iteration: number, wish: Partial<Look>) => look(reduce(one, { type: 'seek', iteration }), wish);

  test('a picture waits for all that it needs, the gradient of the newest key snapshot too', () => {
    const { loader, pictures, wished, arrive } = setUp();
    const state = seeked(50, { colourBy: 'gradient' });
    loader.follow(state);
    expect(wished()).toEqual(['a/50/frame', 'a/40/gradient_values']);
    arrive(state, 'a/50/frame');
    expect(pictures).toHaveLength(0);
    arrive(state, 'a/40/gradient_values');
    expect(pictures.at(-1)![0]).toMatchObject({ iteration: 50, gradient: { iteration: 40 } });
    expect(loader.isBehind).toBe(false);
  });

  test('cells come late: the picture is shown without them, and again with them', () => {
    vi.useFakeTimers();
    const { loader, pictures, wished, arrive } = setUp();
    const state = seeked(50, {});
    loader.follow(state);
    expect(wished()).toEqual(['a/50/frame']);
    arrive(state, 'a/50/frame');
    expect(pictures.at(-1)![0]!.cells).toBeNull();
    vi.advanceTimersByTime(1000);
    expect(wished()).toContain('a/40/cells');
    arrive(state, 'a/40/cells');
    expect(pictures).toHaveLength(2);
    expect(pictures.at(-1)![0]).toMatchObject({ iteration: 50, cells: { iteration: 40 } });
    arrive(state);
    expect(pictures).toHaveLength(2);
    vi.useRealTimers();
  });

  test('another way to look is another picture, another scale is not', () => {
    const { loader, pictures, arrive } = setUp();
    const state = seeked(50, { source: 'samples' });
    loader.follow(state);
    arrive(state, 'a/50/frame', 'a/0/frame');
    loader.follow(look(state, { scale: 'absolute' }));
    expect(pictures).toHaveLength(1);
    loader.follow(look(state, { colourBy: 'since_start' }));
    expect(pictures.at(-1)![0]).toMatchObject({ look: { colourBy: 'since_start' }, second: { iteration: 0 } });
  });
});
