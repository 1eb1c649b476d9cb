import { describe, expect, test } from 'vitest';
import type { Place } from '../src/layout/place';
import { decodeAddress, encodeAddress, NO_ADDRESS, type Address } from '../src/state/address';
import { ADDRESS_KEYS, readKeys, writeKeys } from '../src/state/addresskeys';
import { initialState } from '../src/state/model';
import { reduce, type Action } from '../src/state/reducer';

/** The same numbers in every run of the tests. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const NAMES = ['transformer.h.0.attn.c_attn.weight', 'a&b=c#d', '%', '100 %25', 'größe/α', '🙂', '1:2', ' ', "<img src=x>'\""];

function someAddress(random: () => number): Address {
  const maybe = <T>(value: T): T | null => (random() < 0.5 ? value : null);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const length = () => Number(((random() - 0.5) * 200).toFixed(3));
  const camera: Place = {
    anchor: random() < 0.3 ? 'cloud' : Math.floor(random() * 20_000),
    x: length(),
    y: length(),
    z: length(),
    distance: Number((random() * 9 + 1).toFixed(3)),
    yaw: Number((random() * 2 - 1).toFixed(4)),
    pitch: Number((random() * 2 - 1).toFixed(4)),
  };
  return {
    runs: random() < 0.5 ? [] : ['9f3c01', 'abc~2'].slice(0, 1 + Math.floor(random() * 2)),
    iteration: maybe(Math.floor(random() * 1e12)),
    tensor: maybe({ view: Math.floor(random() * 2), name: pick(NAMES) }),
    camera: maybe(camera),
    rest: random() < 0.5 ? {} : { tokens: pick(NAMES), 'colour-by': 'gradient' },
  };
}

const KNOWN = ['tokens', 'colour-by'];

test('what is written is read again', () => {
  const random = seeded(7);
  for (let round = 0; round < 500; round += 1) {
    const address = someAddress(random);
    const { search, hash } = encodeAddress(address);
    expect(decodeAddress(search, hash, KNOWN)).toEqual({ address, ignored: [] });
    // A browser takes it as it is.
    const url = new URL(`http://localhost/${search}${hash}`);
    expect(decodeAddress(url.search, url.hash, KNOWN).address).toEqual(address);
  }
});

test('a fresh page has nothing in its address', () => {
  expect(encodeAddress(NO_ADDRESS)).toEqual({ search: '', hash: '' });
  expect(decodeAddress('', '', [])).toEqual({ address: NO_ADDRESS, ignored: [] });
});

test('a camera is told so finely that no pixel moves, and no finer', () => {
  const camera: Place = { anchor: 3, x: 1.23456789, y: 0, z: -2e-9, distance: 80.123456, yaw: 0.123456, pitch: -0.1 };
  expect(encodeAddress({ ...NO_ADDRESS, camera }).hash).toBe('#camera=3,1.235,0,0,80.123,0.1235,-0.1');
});

describe('an address that makes no sense', () => {
  test.each([
    ['#i=-3', 'i'],
    ['#i=1e3', 'i'],
    ['#i=99999999999999999999', 'i'],
    ['#i=9999999999999999', 'i'],
    ['#i=', 'i'],
    ['#tensor=3:x', 'tensor'],
    ['#tensor=x', 'tensor'],
    ['#tensor=1:', 'tensor'],
    ['#camera=0,0,0,0,-1,0,0', 'camera'],
    ['#camera=0,0,0,0,0,0,0', 'camera'],
    ['#camera=0,0,0,0,NaN,0,0', 'camera'],
    ['#camera=0,Infinity,0,0,1,0,0', 'camera'],
    ['#camera=0,1e400,0,0,1,0,0', 'camera'],
    ['#camera=0,9999999,0,0,1,0,0', 'camera'],
    ['#camera=0,0,0,0,1,9,0', 'camera'],
    ['#camera=cloud,0,0', 'camera'],
    ['#camera=moon,0,0,0,1,0,0', 'camera'],
    ['#unknown=1', 'unknown'],
    ['#__proto__=1', 'a part without a name'],
    ['#constructor=1', 'constructor'],
    ['#<b>=1', 'a part without a name'],
    [`#i=${'1'.repeat(9000)}`, 'all of it: it is too long'],
  ])('%s is left out, and said', (hash, named) => {
    const { address, ignored } = decodeAddress('', hash, []);
    expect(ignored).toEqual([named]);
    expect(address).toEqual(NO_ADDRESS);
  });

  test('leaves the rest of it good', () => {
    const { address, ignored } = decodeAddress('?runs=a,b,c,,&x=y', '#i=7&camera=%&tensor=1:%E0%A4%A&i=8', []);
    expect(address.runs).toEqual(['a', 'b']);
    expect(address.iteration).toBe(7);
    expect(address.tensor).toEqual({ view: 0, name: '%E0%A4%A' });
    expect(ignored).toEqual(['camera']);
  });

  test('is never an error, whatever stands in it', () => {
    const random = seeded(3);
    const pieces = ['#', '&', '=', '%', 'i', 'tensor', 'camera', '1:', ',', '-', '9', '.', '\ud800', '%00', 'tab', '?'];
    for (let round = 0; round < 2000; round += 1) {
      const text = Array.from({ length: 12 }, () => pieces[Math.floor(random() * pieces.length)]).join('');
      const { address } = decodeAddress(`?${text}`, `#${text}`, ['tab']);
      encodeAddress(address);
    }
  });
});

describe('keys of other parts', () => {
  const fresh = initialState('dark');
  const changes: Action[] = [
    { type: 'tab', tab: 'loss' },
    { type: 'look', look: { colourBy: 'since_k', snapshotsBack: 7, sort: 'both', scale: 'quantile', source: 'samples', interpolate: true } },
    { type: 'cloud', cloud: { view: 1, tokens: [17, 3, 300], focus: 3, colouring: 'moved-start', projection: 'umap' } },
  ];

  test('tell the state, and nothing of a fresh one', () => {
    expect(writeKeys(fresh)).toEqual({});
    const state = changes.reduce(reduce, fresh);
    const { actions, ignored } = readKeys(writeKeys(state));
    expect(actions.reduce(reduce, fresh)).toEqual(state);
    expect(ignored).toEqual([]);
  });

  test('that make no sense change nothing and are named', () => {
    const nonsense = Object.fromEntries(ADDRESS_KEYS.map(({ name }) => [name, '<b>']));
    expect(readKeys(nonsense)).toEqual({ actions: [], ignored: ADDRESS_KEYS.map(({ name }) => name) });
  });

  test.each([
    ['tokens', '3:1'],
    ['tokens', '1:'],
    ['tokens', '1:5,'],
    ['tokens', '1:5,5'],
    ['tokens', '1:-5'],
    ['tokens', '1:1e3'],
    ['tokens', '1:9999999999'],
    ['tokens', `1:${Array.from({ length: 17 }, (_, token) => token).join()}`],
    ['neighbours-of', 'x'],
    ['token-colour', 'constructor'],
    ['projection', '../../secret'],
    ['projection', 'a'.repeat(60)],
    ['interpolate', 'true'],
  ])('%s=%s makes no sense', (name, text) => {
    expect(readKeys({ [name]: text })).toEqual({ actions: [], ignored: [name] });
  });

  test('name as many tokens as there may be trails, in their order', () => {
    const tokens = Array.from({ length: 16 }, (_, index) => 40 - index);
    const { actions } = readKeys({ tokens: `1:${tokens.join()}` });
    expect(actions.reduce(reduce, fresh).cloud).toMatchObject({ view: 0, tokens, focus: 25 });
  });

  test('tell interpolation only where it is not what the machine does by itself', () => {
    const usual = reduce(fresh, { type: 'look', look: { interpolate: true, usuallyInterpolates: true } });
    expect(writeKeys(usual)).toEqual({});
    const off = reduce(usual, { type: 'look', look: { interpolate: false } });
    expect(writeKeys(off)).toEqual({ interpolate: 'off' });
    expect(readKeys(writeKeys(off)).actions.reduce(reduce, usual)).toEqual(off);
  });

  test('are named as the address wants them', () => {
    for (const { name } of ADDRESS_KEYS) expect(name).toMatch(/^[a-z][a-z-]{0,30}$/);
    expect(new Set(ADDRESS_KEYS.map(({ name }) => name)).size).toBe(ADDRESS_KEYS.length);
  });
});
