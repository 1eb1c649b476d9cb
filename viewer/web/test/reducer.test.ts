import { describe, expect, test } from 'vitest';
import { initialState, type State } from '../src/state/model';
import { isLive, reduce, type Action } from '../src/state/reducer';
import { targetOf } from '../src/state/timeline';
import { Store } from '../src/state/store';
import { noticesOf } from '../src/ui/notices';
import { info, opened, update } from './made';

const after = (...actions: Action[]): State => actions.reduce(reduce, initialState('dark'));

describe('a growing run', () => {
  test('is followed: the cursor goes with the newest iteration', () => {
    const state = after(...opened(info('a', [0, 1])), { type: 'updated', update: update('a', [2, 3]), now_unix_s: 100 });
    expect(state.timeline).toEqual([0, 1, 2, 3]);
    expect(state.cursor).toBe(3);
  });

  test('grows behind a cursor that the person has moved, until following is asked for again', () => {
    const scrubbed = after(
      ...opened(info('a', [0, 1, 2])),
      { type: 'seek', iteration: 1 },
      { type: 'updated', update: update('a', [3]), now_unix_s: 100 },
    );
    expect([scrubbed.cursor, scrubbed.following]).toEqual([1, false]);
    const followed = reduce(scrubbed, { type: 'follow' });
    expect([followed.cursor, followed.following]).toEqual([3, true]);
  });

  test('going to the last snapshot by hand follows again', () => {
    const state = after(...opened(info('a', [0, 1, 2])), { type: 'first' }, { type: 'last' });
    expect([state.cursor, state.following]).toEqual([2, true]);
  });

  test('a finished run is not followed', () => {
    const state = after(...opened(info('a', [0, 1], 'finished')), { type: 'first' }, { type: 'last' });
    expect([isLive(state), state.following]).toEqual([false, false]);
  });

  test('news of scalars, events, basis and status are taken over', () => {
    const news = update('a', [], {
      status: 'finished',
      scalars: [[7, { loss: 0.5 }]],
      events: [{ iteration: 7, kind: 'final', text: '' }],
      basis: 7,
    });
    const run = after(...opened(info('a', [0])), { type: 'updated', update: news, now_unix_s: 100 }).runs.a!;
    expect([run.status, run.basis, run.events.length, run.series.loss!.at(7)]).toEqual(['finished', 7, 1, 0.5]);
  });

  test('scalars that the tail brought before the history came are kept', () => {
    const state = after(
      ...opened(info('a', [0])),
      { type: 'updated', update: update('a', [], { scalars: [[9, { loss: 9 }]] }), now_unix_s: 0 },
      {
        type: 'scalars',
        run: 'a',
        scalars: { loss: { iterations: new Float64Array([1]), values: new Float64Array([1]) } },
      },
    );
    expect(state.runs.a!.series.loss!.iterations).toEqual([1, 9]);
  });
});

describe('moving', () => {
  const start = opened(info('a', [0, 10, 20, 30], 'finished'));

  test('an iteration that was not recorded goes to the nearest one and says so', () => {
    const state = after(...start, { type: 'seek', iteration: 17 });
    expect(state.cursor).toBe(20);
    expect(state.notice).toContain('17');
    expect(state.notice).toContain('20');
    expect(reduce(state, { type: 'seek', iteration: 10 }).notice).toBeNull();
  });

  test('steps stop at both ends', () => {
    expect(after(...start, { type: 'first' }, { type: 'step', by: -1 }).cursor).toBe(0);
    expect(after(...start, { type: 'first' }, { type: 'step', by: 2 }).cursor).toBe(20);
    expect(after(...start, { type: 'first' }, { type: 'step', by: 99 }).cursor).toBe(30);
  });

  test('moving by hand stops playback, and playback moves only while it plays', () => {
    const playing = after(...start, { type: 'first' }, { type: 'playing', playing: true });
    expect(reduce(playing, { type: 'advance', iteration: 10 }).cursor).toBe(10);
    const stopped = reduce(playing, { type: 'step', by: 1 });
    expect(stopped.playing).toBe(false);
    expect(reduce(stopped, { type: 'advance', iteration: 30 })).toBe(stopped);
  });

  test('a run without snapshots has no cursor, and nothing breaks', () => {
    const state = after(...opened(info('a', [])), { type: 'seek', iteration: 5 }, { type: 'step', by: 1 }, { type: 'last' });
    expect(state.cursor).toBeNull();
  });

  test('speeds stay between a quarter and sixteen', () => {
    expect(after({ type: 'speed', speed: 100 }).speed).toBe(16);
    expect(after({ type: 'speed', speed: 0 }).speed).toBe(0.25);
  });
});

describe('two runs', () => {
  const state = after(...opened(info('a', [0, 10, 20]), info('b', [5, 10])));

  test('share the union of their iterations', () => {
    expect(state.timeline).toEqual([0, 5, 10, 20]);
  });

  test('each shows its newest snapshot that is not after the cursor, or its first', () => {
    expect(targetOf(state.runs.a!, 9)).toBe(0);
    expect(targetOf(state.runs.b!, 20)).toBe(10);
    expect(targetOf(state.runs.b!, 0)).toBe(5);
  });

  test('no more than two are on screen', () => {
    expect(after({ type: 'selected', runs: ['a', 'b', 'c'] }).selected).toEqual(['a', 'b']);
  });
});

describe('notices', () => {
  test('a damaged snapshot is told with its reason and its file', () => {
    const failure = { kind: 'damaged' as const, message: 'The checksum differs.', key: 'iterations/5/values/c.0' };
    const state = after(...opened(info('a', [5])), { type: 'shown', shown: { a: { iteration: 5, plan: 0, failure } } });
    const [notice] = noticesOf(state);
    expect(notice!.key).toBe('damaged');
    expect(notice!.text).toContain('The checksum differs.');
    expect(notice!.text).toContain('iterations/5/values/c.0');
  });

  test('a run out of reach is told until it answers, and what was loaded stays', () => {
    const problem = { kind: 'unreachable' as const, message: 'It does not answer.' };
    const away = after(...opened(info('a', [5])), { type: 'problem', run: 'a', problem });
    const [notice] = noticesOf(away);
    expect([notice!.key, notice!.title]).toEqual(['unreachable', '“a” cannot be reached']);
    expect(away.timeline).toEqual([5]);
    expect(noticesOf(reduce(away, { type: 'problem', run: 'a', problem: null }))).toEqual([]);
  });

  test('where nothing can be opened, the first reason is told with its run', () => {
    const refused = (id: string) => ({ id, name: `${id}.zarr.zip`, error: 'It was cut off.' });
    const [notice] = noticesOf(after({ type: 'offered', runs: [refused('x'), refused('y')] }));
    expect(notice!.text).toContain('x.zarr.zip: It was cut off.');
    expect(notice!.text).toContain('other 1');
  });

  test('a lost connection, missing graphics and a failed start are told', () => {
    const state = after(
      { type: 'connection', connection: 'lost' },
      { type: 'graphics', graphics: 'none' },
      { type: 'failed', failure: 'It did not start.' },
    );
    expect(noticesOf(state).map((notice) => notice.key)).toEqual(['failure', 'lost', 'no-webgl']);
  });
});

test('the store tells listeners of each change, one after another, also of those they cause', () => {
  const store = new Store(initialState('dark'));
  const seen: number[] = [];
  store.subscribe((state) => {
    if (state.speed === 2) store.dispatch({ type: 'speed', speed: 4 });
  });
  store.subscribe((state) => seen.push(state.speed));
  store.dispatch({ type: 'speed', speed: 2 });
  expect(seen).toEqual([2, 4]);
});
