/** `window.paramviz`: what browser tests and benchmarks may see and do. Described in README.md. */

import type { Api } from './data/api';
import type { Pixels, StageCounters } from './render/stage';
import { targetsOf } from './state/loader';
import type { Player } from './state/player';
import type { Session } from './state/session';
import type { Store } from './state/store';
import type { ModelTab } from './ui/modeltab';

export interface Hooks {
  state(): Record<string, unknown>;
  counters(): Record<string, unknown>;
  drawTimes(since_ms: number): { at_ms: number[]; busy_ms: number[] };
  seek(iteration: number): Promise<number>;
  play(): void;
  pause(): void;
  keepAtMost(bytes: number): void;
  readPixels(): Promise<Pixels>;
  tensorScreenRect(name: string, view?: number): { left: number; top: number; width: number; height: number } | null;
  labels(): { text: string; left: number; top: number; width: number; height: number }[];
}

declare global {
  interface Window {
    paramviz: Readonly<Hooks>;
  }
}

const NO_STAGE: StageCounters = { framesDrawn: 0, drawCalls: 0, gpuTextureBytes: 0, points: 0, drawn: {} };

export function installHooks(store: Store, session: Session, api: Api, player: Player, model: ModelTab): void {
  const settled = () => {
    const { state } = store;
    if (state.cursor === null || session.isWaiting) return false;
    return targetsOf(state, state.cursor).every(({ run, iteration }) => state.shown[run]?.iteration === iteration);
  };
  const hooks: Hooks = {
    state: () => {
      const { selected, runs, shown, cursor, following, playing, tab, timeline, connection, graphics, problems, notice, failure } =
        store.state;
      return {
        runs: selected,
        cursor,
        following,
        playing,
        tab,
        connection,
        graphics,
        camera: model.stage && { ...model.stage.rig.current, gliding: model.stage.rig.isGliding },
        notice,
        failure,
        iterations: timeline.length,
        cloud: model.cloud.facts(),
        views: selected.map((id) => ({
          run: id,
          status: runs[id]?.status ?? null,
          iterations: runs[id]?.iterations.length ?? 0,
          basis: runs[id]?.basis ?? null,
          shown: shown[id]?.iteration ?? null,
          coloured: model.coloured(id),
          failure: shown[id]?.failure ?? null,
          problem: problems[id] ?? null,
        })),
      };
    },
    counters: () => ({ requests: api.requests, ...session.frames.counters, ...(model.stage?.counters ?? NO_STAGE) }),
    drawTimes: (since_ms) => model.stage?.drawTimes.since(since_ms) ?? { at_ms: [], busy_ms: [] },
    seek: (iteration) => {
      store.dispatch({ type: 'seek', iteration });
      return new Promise((resolve) => {
        const done = () => {
          const reached = store.state.cursor ?? iteration;
          if (model.stage) model.stage.whenDrawn(() => resolve(reached));
          else resolve(reached);
        };
        if (settled()) {
          done();
          return;
        }
        const stop = store.subscribe(() => {
          if (!settled()) return;
          stop();
          done();
        });
      });
    },
    play: () => player.play(),
    pause: () => store.dispatch({ type: 'playing', playing: false }),
    keepAtMost: (bytes) => {
      session.frames.budgetBytes = bytes;
    },
    readPixels: () =>
      new Promise((resolve, reject) => {
        if (model.stage) resolve(model.stage.readPixels());
        else reject(new Error('There is no WebGL2 here.'));
      }),
    tensorScreenRect: (name, view = 0) => {
      const rect = model.tensorScreenRect(name, view);
      return rect && { left: rect.left, top: rect.top, width: rect.width, height: rect.height };
    },
    labels: () => model.names,
  };
  Object.defineProperty(window, 'paramviz', { value: Object.freeze(hooks), writable: false });
}
