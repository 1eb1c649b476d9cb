/** The page's keys. Fields keep their own; so does a button that has the focus, for space and Enter. */

import { SCALE_MODES } from '../state/look';
import { SPEEDS } from '../state/model';
import type { Player } from '../state/player';
import type { Store } from '../state/store';
import { PRESETS, type Pilot } from './pilot';

const PRESSED_BY_KEY = 'button, summary';

/** What the keys ask of the tab with the scene. */
export interface KeyActions {
  readonly pilot: Pick<Pilot, 'home' | 'turnByKey' | 'moveByKey' | 'zoomByKey'> | null;
  stepPart(by: 1 | -1): void;
  stepTensor(by: 1 | -1): void;
  goToPreset(number: number): void;
  openViews(): void;
  openLook(): void;
  findToken(): void;
}

function after<T>(list: readonly T[], one: T): T {
  return list[(list.indexOf(one) + 1) % list.length]!;
}

export function listenToKeys(store: Store, player: Player, actions: KeyActions): void {
  const speed = (by: number) => {
    const at = SPEEDS.findIndex((value) => value >= store.state.speed);
    store.dispatch({ type: 'speed', speed: SPEEDS[Math.min(Math.max(at + by, 0), SPEEDS.length - 1)]! });
  };
  const step = (by: number) => (event: KeyboardEvent) =>
    store.dispatch({ type: 'step', by: event.shiftKey ? by * 10 : by });
  const turn = (right: number, down: number) => (event: KeyboardEvent) =>
    event.shiftKey ? actions.pilot?.moveByKey(right, down) : actions.pilot?.turnByKey(right, down);
  const presets = Object.fromEntries(
    PRESETS.map((_, index) => [String(index + 1), () => actions.goToPreset(index + 1)] as const),
  );
  const keys: Record<string, (event: KeyboardEvent) => void> = {
    ' ': () => player.toggle(),
    ArrowLeft: step(-1),
    ArrowRight: step(1),
    Home: () => store.dispatch({ type: 'first' }),
    End: () => store.dispatch({ type: 'last' }),
    '+': () => speed(1),
    '-': () => speed(-1),
    l: () => store.dispatch({ type: 'follow' }),
    r: () => actions.pilot?.home(),
    a: turn(-1, 0),
    d: turn(1, 0),
    w: turn(0, -1),
    x: turn(0, 1),
    e: () => actions.pilot?.zoomByKey(true),
    q: () => actions.pilot?.zoomByKey(false),
    PageDown: () => actions.stepPart(1),
    PageUp: () => actions.stepPart(-1),
    j: () => actions.stepTensor(1),
    k: () => actions.stepTensor(-1),
    b: () => actions.openViews(),
    ...presets,
    s: () => store.dispatch({ type: 'look', look: { scale: after(SCALE_MODES, store.state.look.scale) } }),
    v: () => actions.openLook(),
    '/': () => actions.findToken(),
    p: () => store.dispatch({ type: 'panel', open: !store.state.panelOpen }),
    t: () => store.dispatch({ type: 'theme', theme: store.state.theme === 'dark' ? 'light' : 'dark' }),
    m: () => store.dispatch({ type: 'tab', tab: store.state.tab === 'model' ? 'loss' : 'model' }),
    '?': () => store.dispatch({ type: 'help', open: !store.state.helpOpen }),
    Escape: () => store.dispatch({ type: 'selection', selection: null }),
  };
  // A button reached by key is pressed by key; one that was clicked leaves the space bar to playback.
  let clicked: Element | null = null;
  window.addEventListener('pointerdown', (event) => {
    clicked = (event.target as Element).closest(PRESSED_BY_KEY);
  });
  window.addEventListener('keydown', (event) => {
    if (event.key === 'Tab') clicked = null;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement;
    if (target.closest('input, select, textarea, dialog[open]')) return;
    const pressed = event.key === ' ' || event.key === 'Enter' ? target.closest(PRESSED_BY_KEY) : null;
    if (pressed && pressed !== clicked) return;
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}
