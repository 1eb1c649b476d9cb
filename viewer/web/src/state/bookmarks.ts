/** Views of one run that somebody gave a name and wants to come back to. Kept by the browser, never sent anywhere. */

import type { Place } from '../layout/place';
import { decodeAddress, encodeAddress, NO_ADDRESS } from './address';

export interface Bookmark {
  name: string;
  /** null: the whole model */
  camera: Place | null;
  /** name of the chosen tensor, and of which of the runs on screen */
  tensor: { view: number; name: string } | null;
}

/** The part of the browser's storage that is used here. */
export type Keeper = Pick<Storage, 'getItem' | 'setItem'>;

export const MOST_BOOKMARKS = 40;
const MOST_LETTERS = 60;

export class Bookmarks {
  private readonly keeper: () => Keeper;
  private readonly key: string;
  private list: Bookmark[] = [];
  /** Whether what is added outlives this page. */
  isKept = true;

  /** `keeper` may throw: some browsers forbid their storage. */
  constructor(runId: string, keeper: () => Keeper) {
    this.keeper = keeper;
    this.key = `paramviz.bookmarks.${runId}`;
    this.reload();
  }

  get all(): readonly Bookmark[] {
    return this.list;
  }

  /** Takes what another page of the same run has kept meanwhile. */
  reload(): void {
    if (!this.isKept) return;
    try {
      this.list = parseBookmarks(this.keeper().getItem(this.key) ?? '[]');
    } catch {
      this.isKept = false;
    }
  }

  /** A second one of the same name takes the place of the first. False if there are too many. */
  add(bookmark: Bookmark): boolean {
    const name = nameOf(bookmark.name);
    const others = this.list.filter((one) => one.name !== name);
    if (name === '' || others.length >= MOST_BOOKMARKS) return false;
    this.keep([...others, { ...bookmark, name }]);
    return true;
  }

  remove(name: string): void {
    this.keep(this.list.filter((one) => one.name !== name));
  }

  private keep(list: Bookmark[]): void {
    this.list = list;
    try {
      this.keeper().setItem(this.key, bookmarksText(list));
    } catch {
      this.isKept = false;
    }
  }
}

export function bookmarksText(list: readonly Bookmark[]): string {
  return JSON.stringify(
    list.map(({ name, camera, tensor }) => ({ name, view: encodeAddress({ ...NO_ADDRESS, camera, tensor }).hash })),
  );
}

/** Whatever the text is: what makes no sense is left out. */
export function parseBookmarks(text: string): Bookmark[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(value)) return [];
  const list: Bookmark[] = [];
  for (const one of value.slice(0, MOST_BOOKMARKS) as unknown[]) {
    const { name, view } = Object(one) as { name?: unknown; view?: unknown };
    if (typeof name !== 'string' || typeof view !== 'string' || nameOf(name) === '') continue;
    const { address, ignored } = decodeAddress('', view, []);
    if (ignored.length > 0 || list.some((known) => known.name === nameOf(name))) continue;
    list.push({ name: nameOf(name), camera: address.camera, tensor: address.tensor });
  }
  return list;
}

function nameOf(text: string): string {
  return [...text.trim()].slice(0, MOST_LETTERS).join('');
}
