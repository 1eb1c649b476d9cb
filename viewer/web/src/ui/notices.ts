/** What the person must know: what was refused and why, a lost connection, no graphics, a failed start. */

import type { State } from '../state/model';
import type { Store } from '../state/store';
import { button, h, prose } from './dom';

interface Notice {
  key: string;
  tone: 'bad' | 'plain';
  /** What happened, in a few words. */
  title: string;
  /** Why, and what can be done. */
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
    const key = notices.map((notice) => notice.key + notice.title + notice.text).join('|');
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
    return h(
      'div',
      { class: `notice ${notice.tone}`, 'data-test': `notice-${notice.key}` },
      h('div', {}, notice.title ? h('strong', {}, notice.title) : null, h('p', {}, ...prose(notice.text))),
      act,
    );
  }
}

export function noticesOf(state: State): Notice[] {
  const notices: Notice[] = [];
  const add = (key: string, tone: Notice['tone'], title: string, text: string, action?: Notice['action']) =>
    notices.push({ key, tone, title, text, ...(action && { action }) });
  if (state.failure) add('failure', 'bad', 'This could not be opened', state.failure, 'retry');
  if (state.connection === 'lost') {
    const text = 'Is `paramviz view` still running? What was loaded can still be looked at; it is tried again.';
    add('lost', 'bad', 'The viewer does not answer', text, 'retry');
  }
  for (const id of state.selected) addRun(state, id, add);
  if (state.graphics === 'none') {
    const text = 'The model cannot be drawn without it. The charts work all the same.';
    add('no-webgl', 'bad', 'This browser offers no WebGL2', text);
  }
  if (state.graphics === 'lost') add('context-lost', 'plain', '', 'The graphics card was taken away; waiting for it.');
  if (state.notice) add('notice', 'plain', '', state.notice, 'dismiss');
  if (!state.failure && state.selected.length === 0 && state.offered.length > 0) {
    const refused = state.offered.filter((run) => run.error !== null);
    const [first] = refused;
    const more = refused.length > 1 ? ` The list above says why the other ${refused.length - 1} cannot.` : '';
    add('no-run', 'bad', 'None of these runs can be opened', first ? `${first.name}: ${first.error}${more}` : '');
  }
  return notices;
}

type Add = (key: string, tone: Notice['tone'], title: string, text: string, action?: Notice['action']) => void;

/** What is wrong with one run on screen: with the whole of it, and with the snapshot that is asked for. */
function addRun(state: State, id: string, add: Add): void {
  const name = state.runs[id]?.info.name ?? id;
  const problem = state.connection === 'lost' ? null : state.problems[id];
  if (problem?.kind === 'unreachable') {
    const text = `${problem.message} What was loaded can still be looked at.`;
    add('unreachable', 'bad', `“${name}” cannot be reached`, text, 'retry');
  } else if (problem) {
    add('problem', 'bad', `“${name}” cannot be followed any more`, problem.message, 'retry');
  }
  const shown = state.shown[id];
  if (!shown?.failure) return;
  const { kind, message, key } = shown.failure;
  const which = state.selected.length > 1 ? `Iteration ${shown.iteration} of “${name}”` : `Iteration ${shown.iteration}`;
  const what = kind === 'damaged' ? 'is damaged, so it is not shown' : 'could not be read';
  const where = key && !message.includes(key) ? ` (\`${key}\`)` : '';
  add('damaged', 'bad', `${which} ${what}`, `${message}${where}`, 'retry');
}
