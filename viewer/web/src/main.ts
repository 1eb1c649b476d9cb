/** Puts the page together: data, state, scene and controls. */

import './styles/base.css';
import './styles/header.css';
import './styles/timeline.css';
import './styles/model.css';
import './styles/look.css';
import './styles/cloud.css';
import './styles/views.css';
import './styles/details.css';
import './styles/legend.css';
import { Api } from './data/api';
import { installHooks } from './hooks';
import { initialState, type Theme } from './state/model';
import { Player } from './state/player';
import { messageOf, Session } from './state/session';
import { Store } from './state/store';
import { AddressBar, openingOf, stateAt } from './ui/addressbar';
import { Dock } from './ui/dock';
import { Header } from './ui/header';
import { Help } from './ui/help';
import { listenToKeys } from './ui/keys';
import { LossTab } from './ui/losstab';
import { ModelTab } from './ui/modeltab';
import { Notices } from './ui/notices';
import { prefersStillness } from './ui/pilot';

/** A narrower window starts without the list of tensors. */
const ROOMY_px = 1000;
const THEME_KEY = 'paramviz.theme';

/** The person's choice, else the system's. Storage may be forbidden; then the choice lasts for this page. */
function storedTheme(): Theme {
  const system = matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
  try {
    const stored = localStorage.getItem(THEME_KEY);
    return stored === 'light' || stored === 'dark' ? stored : system;
  } catch {
    return system;
  }
}

function keepTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME_KEY, theme);
  } catch {
    // Kept for this page only.
  }
}

function loadFonts(): Promise<unknown> {
  // Labels are drawn on canvases, which don't wait for fonts by themselves.
  return Promise.all(['500 11px "Inter Variable"', '600 12px "Inter Variable"'].map((font) => document.fonts.load(font)));
}

function start(): void {
  const theme = storedTheme();
  document.documentElement.dataset.theme = theme;
  const opening = openingOf(location, prefersStillness());
  const { address } = opening;
  const store = new Store(stateAt(initialState(theme, innerWidth >= ROOMY_px), address.iteration));
  // The first subscriber, so that all others find the stylesheet's colours changed already.
  store.subscribe((state, previous) => {
    if (state.theme !== previous.theme) keepTheme(state.theme);
  });
  const api = new Api(new URL('api/', document.baseURI).href);
  const session: Session = new Session(api, store, {
    present: (pictures) => model.present(pictures),
    now_unix_s: () => Date.now() / 1000,
  });
  const player = new Player(
    store,
    {
      now_ms: () => performance.now(),
      next: (callback) => requestAnimationFrame(callback),
      cancel: (handle) => cancelAnimationFrame(handle),
    },
    () => session.isWaiting,
  );
  const open = (work: () => Promise<void>) => {
    store.dispatch({ type: 'failed', failure: null });
    work().catch((error: unknown) => store.dispatch({ type: 'failed', failure: messageOf(error) }));
  };
  const begin = () => open(() => session.start(address.runs));
  const retry = () => (store.state.failure ? begin() : session.retry());
  const header = new Header(store, { select: (runs) => open(() => session.select(runs)) });
  const model = new ModelTab(store, session);
  player.onProgress = (share) => model.progress(share);
  new AddressBar(store, model, address);
  const loss = new LossTab(store);
  const dock = new Dock(store, player);
  const help = new Help(store);
  const notices = new Notices(store, retry);
  listenToKeys(store, player, model);
  store.subscribe((state, previous) => {
    if (state.selected === previous.selected) return;
    document.title = titleOf(state.selected.map((id) => state.runs[id]!.info.name));
  });
  document
    .getElementById('app')!
    .append(header.element, notices.element, loss.element, model.element, dock.element, help.element);
  installHooks(store, session, api, player, model);
  for (const action of opening.actions) store.dispatch(action);
  store.dispatch({ type: 'notice', notice: opening.notice });
  void loadFonts().finally(begin);
}

function titleOf(names: readonly string[]): string {
  return names.length > 0 ? `${names.join(' / ')} · paramviz` : 'paramviz';
}

start();
