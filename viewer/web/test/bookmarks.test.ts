import { describe, expect, test } from 'vitest';
import { Bookmarks, bookmarksText, MOST_BOOKMARKS, parseBookmarks, type Bookmark, type Keeper } from '../src/state/bookmarks';

const near: Bookmark = {
  name: 'head 3 “odd”',
  camera: { anchor: 4, x: 0.5, y: 1, z: 0, distance: 12, yaw: 0.1, pitch: -0.2 },
  tensor: { view: 0, name: 'transformer.h.0.attn.c_attn.weight' },
};
const far: Bookmark = { name: 'all', camera: null, tensor: null };

function storage(): Keeper & { items: Map<string, string> } {
  const items = new Map<string, string>();
  return { items, getItem: (key) => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) };
}

test('what is kept is there again, for the same run only', () => {
  const kept = storage();
  const marks = new Bookmarks('run', () => kept);
  marks.add(near);
  marks.add(far);
  expect(new Bookmarks('run', () => kept).all).toEqual([near, far]);
  expect(new Bookmarks('other', () => kept).all).toEqual([]);
  marks.remove(near.name);
  expect(new Bookmarks('run', () => kept).all).toEqual([far]);
});

test('a name is there once: the newer view takes it', () => {
  const marks = new Bookmarks('run', storage);
  marks.add({ ...far, name: ' x ' });
  marks.add({ ...near, name: 'x' });
  expect(marks.all).toEqual([{ ...near, name: 'x' }]);
});

test('there is an end to them, and a nameless one is none', () => {
  const marks = new Bookmarks('run', storage);
  expect(marks.add({ ...far, name: '  ' })).toBe(false);
  for (let index = 0; index < MOST_BOOKMARKS; index += 1) expect(marks.add({ ...far, name: `${index}` })).toBe(true);
  expect(marks.add({ ...far, name: 'one more' })).toBe(false);
  expect(marks.add({ ...near, name: '0' })).toBe(true);
});

test('another page’s are seen', () => {
  const kept = storage();
  const [one, other] = [new Bookmarks('run', () => kept), new Bookmarks('run', () => kept)];
  one.add(near);
  other.reload();
  expect(other.all).toEqual([near]);
});

describe('a browser that keeps nothing', () => {
  test('keeps them for this page, and says so', () => {
    const marks = new Bookmarks('run', () => {
      throw new Error('SecurityError');
    });
    expect(marks.isKept).toBe(false);
    expect(marks.add(near)).toBe(true);
    marks.reload();
    expect(marks.all).toEqual([near]);
  });

  test('whose storage is full, likewise', () => {
    const full = { ...storage(), setItem: () => { throw new Error('QuotaExceededError'); } };
    const marks = new Bookmarks('run', () => full);
    expect(marks.isKept).toBe(true);
    marks.add(near);
    expect([marks.isKept, marks.all]).toEqual([false, [near]]);
  });
});

test.each(['', 'null', '{}', '7', '[7, null, {}]', '[{"name": 1, "view": ""}]', '[{"name": "x", "view": "#camera=1"}]', '[{"name": "", "view": ""}]'])(
  'text that somebody else has put there is no harm: %s',
  (text) => expect(parseBookmarks(text)).toEqual([]),
);

test('bookmarks survive being text', () => {
  expect(parseBookmarks(bookmarksText([near, far]))).toEqual([near, far]);
});
