/** Everything the page knows, in one place. Only the reducer makes new ones. */

import type { Connection } from '../data/tail';
import type { ErrorKind, Problem, RunEvent, RunInfo, RunStatus, RunSummary } from '../data/types';
import { FIRST_CHOICE, type CloudChoice } from './cloudchoice';
import { FIRST_LOOK, type Look } from './look';
import type { GrowingSeries } from './series';

export type Tab = 'loss' | 'model';
export type Theme = 'dark' | 'light';
export type Graphics = 'pending' | 'hardware' | 'software' | 'lost' | 'none';

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16] as const;

export interface RunState {
  info: RunInfo;
  status: RunStatus;
  iterations: number[];
  events: RunEvent[];
  /** Grows in place; `scalarsVersion` says when. */
  series: Record<string, GrowingSeries>;
  scalarsVersion: number;
  plan: number | null;
  basis: number | null;
  /** Wall clock of the last sign of life, by this machine's clock. */
  alive_unix_s: number;
}

/** What a run's view shows now. */
export interface Shown {
  iteration: number;
  plan: number | null;
  failure: { kind: ErrorKind; message: string; key: string } | null;
}

export interface Selection {
  run: string;
  tensor: number;
}

export interface State {
  offered: RunSummary[];
  /** The runs on screen, at most two, in order. */
  selected: string[];
  runs: Record<string, RunState>;
  /** Recorded iterations of all selected runs. */
  timeline: number[];
  /** The iteration asked for; null while there is none. */
  cursor: number | null;
  following: boolean;
  playing: boolean;
  speed: number;
  shown: Record<string, Shown>;
  tab: Tab;
  theme: Theme;
  look: Look;
  cloud: CloudChoice;
  selection: Selection | null;
  panelOpen: boolean;
  helpOpen: boolean;
  connection: Connection;
  graphics: Graphics;
  /** Why a run cannot be followed at the moment. */
  problems: Record<string, Problem | null>;
  /** Said once, on screen and to screen readers. */
  notice: string | null;
  /** Why the page shows nothing. */
  failure: string | null;
}

/** `panelOpen`: whether there is room for the list beside the scene. */
export function initialState(theme: Theme, panelOpen = true): State {
  return {
    offered: [],
    selected: [],
    runs: {},
    timeline: [],
    cursor: null,
    following: true,
    playing: false,
    speed: 1,
    shown: {},
    tab: 'model',
    theme,
    look: FIRST_LOOK,
    cloud: FIRST_CHOICE,
    selection: null,
    panelOpen,
    helpOpen: false,
    connection: 'connecting',
    graphics: 'pending',
    problems: {},
    notice: null,
    failure: null,
  };
}
