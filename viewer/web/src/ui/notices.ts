/** What the person must know: lost connection, damaged snapshots, no graphics, a failed start. */

import type { State } from '../state/model';
import type { Store } from '../state/store';
import { button, h } from './dom';

interface Notice {
  key: string;
  tone: 'bad' | 'plain';
  text: string;
  action?: 'retry' | 'dismiss';
}

export class Notices {
  readonly element = h('div', { class: 'notices', role: 'alert', 'data-test': 'notices' });
  private readonly store: Store;
  private readonly retry: () => void;
  private shown = '';

  constructor(store: Store, retry: () => void) {
    this.store = store;
    this.retry = retry;
    store.subscribe((state) => this.show(state));
  }

  private show(state: State): void {
    const notices = noticesOf(state);
    const key = notices.map((notice) => notice.key + notice.text).join('|');
    if (key === this.shown) return;
    this.shown = key;
    this.element.replaceChildren(...notices.map((notice) => this.banner(notice)));
  }

  private banner(notice: Notice): HTMLElement {
    const act =
      notice.action === 'retry'
        ? button('retry', 'Try again', 'Try again', this.retry, { class: 'quiet' })
        : notice.action === 'dismiss'
          ? button('dismiss', 'Dismiss', 'OK', () => this.store.dispatch({ type: 'notice', notice: null }), {
              class: 'quiet',
            })
          : null;
    return h('div', { class: `notice ${notice.tone}`, 'data-test': `notice-${notice.key}` }, h('span', {}, notice.text), act);
  }
}

export function noticesOf(state: State): Notice[] {
  const notices: Notice[] = [];
  if (state.failure) notices.push({ key: 'failure', tone: 'bad', text: state.failure, action: 'retry' });
  if (state.connection === 'lost') {
    const text = 'The server does not answer. What is in memory can still be looked at; trying again.';
    notices.push({ key: 'lost', tone: 'bad', text, action: 'retry' });
  }
  for (const id of state.selected) {
    const shown = state.shown[id];
    if (!shown?.failure) continue;
    const name = state.selected.length > 1 ? `${state.runs[id]?.info.name}: ` : '';
    const { kind, message, key } = shown.failure;
    const what = kind === 'damaged' ? 'is damaged' : 'could not be read';
    const where = key && !message.includes(key) ? ` (${key})` : '';
    const text = `${name}iteration ${shown.iteration} ${what}, so nothing of it is shown. ${message}${where}`;
    notices.push({ key: 'damaged', tone: 'bad', text, action: 'retry' });
  }
  if (state.graphics === 'none') {
    const text = 'This browser offers no WebGL2, so the model cannot be drawn. The charts work all the same.';
    notices.push({ key: 'no-webgl', tone: 'bad', text });
  }
  if (state.graphics === 'lost') {
    notices.push({ key: 'context-lost', tone: 'plain', text: 'The graphics card was taken away; waiting for it.' });
  }
  if (state.notice) notices.push({ key: 'notice', tone: 'plain', text: state.notice, action: 'dismiss' });
  if (!state.failure && state.selected.length === 0 && state.offered.length > 0) {
    const reasons = state.offered.map((run) => run.error ?? '').filter(Boolean);
    notices.push({ key: 'no-run', tone: 'bad', text: `No run can be opened. ${reasons[0] ?? ''}` });
  }
  return notices;
}
