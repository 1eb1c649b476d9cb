/** Keeps the page's address at what is looked at, and brings back what a link tells. */

import { encodeAddress, decodeAddress, type Address } from '../state/address';
import { ADDRESS_KEYS, readKeys, writeKeys } from '../state/addresskeys';
import type { State } from '../state/model';
import type { Action } from '../state/reducer';
import type { Store } from '../state/store';
import type { ModelTab } from './modeltab';

/** Browsers refuse more than about three changes of the address a second. */
const WRITE_ms = 400;

/** What a link tells, as far as it can be had before any run is open. */
export interface Opening {
  address: Address;
  /** What other parts of the page keep in it. */
  actions: Action[];
  /** What to say of parts of the link that make no sense; null if all of it does. */
  notice: string | null;
}

/** `prefersStillness`: the reader has asked for less motion, and no link has a say in that. */
export function openingOf({ search, hash }: Pick<Location, 'search' | 'hash'>, prefersStillness: boolean): Opening {
  const names = ADDRESS_KEYS.map(({ name }) => name);
  const { address, ignored } = decodeAddress(search, hash, names);
  const read = readKeys(address.rest);
  const wrong = [...ignored, ...read.ignored];
  const moves = (action: Action) => action.type === 'look' && action.look.interpolate === true;
  const actions = read.actions.filter((action) => !prefersStillness || !moves(action));
  const notices: string[] = [];
  if (wrong.length > 0) notices.push(`This link has parts that make no sense and are left out (${wrong.join(', ')}).`);
  if (actions.length < read.actions.length) {
    notices.push('This link asks for values between snapshots; they stay off, since this device is set to less motion.');
  }
  return { address, actions, notice: notices.length > 0 ? notices.join(' ') : null };
}

/** A fresh page's state at the iteration of a link, so that no other one is fetched first. */
export function stateAt(fresh: State, iteration: number | null): State {
  return iteration === null ? fresh : { ...fresh, cursor: iteration, following: false };
}

export class AddressBar {
  private readonly store: Store;
  private readonly model: ModelTab;
  /** What the link told and waits for the first picture. */
  private pending: Address | null;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(store: Store, model: ModelTab, address: Address) {
    this.store = store;
    this.model = model;
    this.pending = address;
    store.subscribe((state, previous) => {
      if (this.pending) this.arrive(state, previous, this.pending);
      if (state.playing) return;
      const keys = ['selected', 'cursor', 'following', 'selection', 'playing', 'shown'] as const;
      const isOther = keys.some((key) => state[key] !== previous[key]);
      if (isOther || JSON.stringify(writeKeys(state)) !== JSON.stringify(writeKeys(previous))) this.writeSoon();
    });
    if (model.pilot) model.pilot.onMoved = () => this.writeSoon();
    // Another link to this page, typed or pasted: the browser loads nothing by itself.
    window.addEventListener('hashchange', () => location.reload());
  }

  private say(notice: string): void {
    this.store.dispatch({ type: 'notice', notice });
  }

  /** The runs are there, and then their first picture. */
  private arrive(state: State, previous: State, address: Address): void {
    if (state.selected !== previous.selected && address.iteration !== null) {
      if (state.timeline.length === 0) this.store.dispatch({ type: 'follow' });
      else if (!state.timeline.includes(address.iteration)) {
        this.store.dispatch({ type: 'seek', iteration: address.iteration });
      }
    }
    const isShown = state.selected.length > 0 && state.selected.every((id) => state.shown[id]);
    if (!isShown || state.shown === previous.shown) return;
    this.pending = null;
    const isThere = (!address.tensor && !address.camera) || this.model.goTo(address, true);
    if (!address.tensor && state.cloud.tokens.length > 0) this.model.cloud.reveal();
    if (!isThere || !this.model.cloud.hasTokens) this.say('This link looks at a part of a model that is not in this one.');
  }

  private writeSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.write();
    }, WRITE_ms);
  }

  private write(): void {
    // Before the first picture the link that was opened still stands, and so it does if there never is one.
    const { state } = this.store;
    if (this.pending || state.playing || state.selected.length === 0) return;
    const { search, hash } = encodeAddress({
      runs: state.selected,
      iteration: state.following ? null : state.cursor,
      ...this.model.place,
      rest: writeKeys(state),
    });
    const url = `${location.pathname}${search}${hash}`;
    if (url === location.pathname + location.search + location.hash) return;
    try {
      history.replaceState(null, '', url);
    } catch {
      // Some browsers refuse it when it comes too often; the next change is written again.
    }
  }
}
