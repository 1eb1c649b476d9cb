/** Opens runs and keeps them fresh: the meeting of the server and the store. */

import { ApiError, type Api } from '../data/api';
import { CloudApi } from '../data/cloud';
import { FrameSource } from '../data/frames';
import { Tail, type TailOptions } from '../data/tail';
import type { FurtherContent } from '../data/further';
import type { Histograms } from '../data/histograms';
import type { Plan, Positions, RunSummary, Series, TailUpdate } from '../data/types';
import { plainVocabulary } from '../layout/tokens';
import { Loader, targetsOf, type Picture } from './loader';
import type { Store } from './store';

/** A server that is busy or away is asked again after this. */
const RETRY_ms = 700;

export interface KeyNorms {
  iteration: number;
  plan: number;
  norms: FurtherContent['norms'];
}

export interface SessionHooks {
  /** All views' pictures, complete, to be shown in one go. */
  present(pictures: Picture[]): void;
  now_unix_s(): number;
  tail?: Partial<TailOptions>;
}

export class Session {
  readonly frames: FrameSource;
  readonly cloud: CloudApi;
  private readonly api: Api;
  private readonly store: Store;
  private readonly hooks: SessionHooks;
  private readonly loader: Loader;
  private readonly plans = new Map<string, Promise<Plan>>();
  private readonly knownPlans = new Map<string, Plan>();
  private readonly positions = new Map<string, Promise<Positions>>();
  private readonly knownPositions = new Map<string, Positions>();
  private readonly vocabularies = new Map<string, Promise<string[] | null>>();
  private tail: Tail | null = null;
  private presentSequence = 0;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(api: Api, store: Store, hooks: SessionHooks) {
    this.api = api;
    this.cloud = new CloudApi(api);
    this.store = store;
    this.hooks = hooks;
    this.frames = new FrameSource(api, {
      arrived: () => this.loader.arrived(store.state),
      unreachable: () => this.retryLater(),
    });
    this.loader = new Loader(this.frames, (pictures) => void this.presentWithPlans(pictures));
    store.subscribe((state, previous) => {
      for (const id of state.selected) this.frames.setBasis(id, state.runs[id]?.basis ?? null);
      const moved =
        state.cursor !== previous.cursor ||
        state.runs !== previous.runs ||
        state.selected !== previous.selected ||
        state.look !== previous.look ||
        state.playing !== previous.playing;
      if (moved) this.loader.follow(state);
      if (state.connection !== 'lost' && previous.connection === 'lost') this.reconnected();
    });
  }

  /** Reads what is on offer and opens the wished runs, else the first two. */
  async start(wished: readonly string[]): Promise<void> {
    const offered = await this.api.runs();
    this.store.dispatch({ type: 'offered', runs: offered });
    const sound = offered.filter((run) => run.error === null).map((run) => run.id);
    const known = wished.filter((id) => sound.includes(id));
    await this.select(known.length > 0 ? known : sound);
    const missing = wished.filter((id) => !sound.includes(id));
    if (missing.length > 0) this.store.dispatch({ type: 'notice', notice: missingText(missing, offered) });
  }

  /** Shows these runs, at most two; a run is read again each time, so nothing is stale. */
  async select(ids: readonly string[]): Promise<void> {
    const chosen = ids.slice(0, 2);
    this.tail?.close();
    this.tail = null;
    const infos = await Promise.all(chosen.map((id) => this.api.run(id)));
    for (const info of infos) this.store.dispatch({ type: 'opened', info, now_unix_s: this.hooks.now_unix_s() });
    this.store.dispatch({ type: 'selected', runs: [...chosen] });
    this.tail = new Tail(
      this.api,
      infos.map(({ id, cursor }) => ({ run: id, cursor })),
      {
        update: (update) => this.update(update),
        problem: ({ run, error }) => this.store.dispatch({ type: 'problem', run, problem: error }),
        connection: (connection) => this.store.dispatch({ type: 'connection', connection }),
      },
      this.hooks.tail,
    );
    if (infos.length > 0) this.tail.start();
    await Promise.all(chosen.map((id) => this.loadScalars(id)));
  }

  async plan(run: string, number: number): Promise<Plan> {
    const key = `${run}/${number}`;
    const plan = await remember(this.plans, key, () => this.api.plan(run, number));
    if (plan.frozen === null && !this.knownPlans.has(key)) {
      const notice = 'Samples of frozen tensors are damaged and left out of the picture: `paramviz verify` names them.';
      this.store.dispatch({ type: 'notice', notice });
    }
    this.knownPlans.set(key, plan);
    return plan;
  }

  /** The plan, if it is here already. */
  planNow(run: string, number: number | null): Plan | undefined {
    return this.knownPlans.get(`${run}/${number}`);
  }

  positionsOf(run: string, plan: number): Promise<Positions> {
    const key = `${run}/${plan}`;
    return remember(this.positions, key, async () => {
      const positions = await this.api.positions(run, plan);
      this.knownPositions.set(key, positions);
      return positions;
    });
  }

  /** Positions, if they are here already. */
  positionsNow(run: string, plan: number | null): Positions | null {
    return this.knownPositions.get(`${run}/${plan}`) ?? null;
  }

  timeline(
    run: string,
    tensor: number,
    key: string,
    of: 'statistics' | 'gradient_statistics',
    signal: AbortSignal,
  ): Promise<Series> {
    return this.api.timeline(run, tensor, key, of, signal);
  }

  histograms(run: string, tensor: number, signal: AbortSignal): Promise<Histograms> {
    return this.api.histograms(run, tensor, signal);
  }

  /**
   * The norms of the newest snapshot not after an iteration that holds them, else of the first one after it;
   * null where none does. The browser keeps them.
   */
  async norms(run: string, iteration: number, signal: AbortSignal): Promise<KeyNorms | null> {
    const holding = await this.api.holding(run, iteration, 'norms');
    const holder = holding.iteration ?? holding.next;
    if (holder === null || signal.aborted) return null;
    const [piece] = await this.api.pieces(run, [holder], 'norms', signal);
    if (!piece) return null;
    if ('error' in piece) throw new ApiError(piece.error.kind, piece.error.message, piece.error.key);
    return piece.content && { iteration: holder, plan: piece.plan, norms: piece.content };
  }

  /** The run's tokens as text, or null where it has none. */
  vocabulary(run: string): Promise<string[] | null> {
    return remember(this.vocabularies, run, async () => {
      if (!this.store.state.runs[run]?.info.embedding?.has_vocabulary) return null;
      return plainVocabulary(await this.api.vocabulary(run));
    });
  }

  /** True while the picture on screen is not yet the one asked for. */
  get isWaiting(): boolean {
    const { cursor, shown } = this.store.state;
    if (cursor === null) return false;
    if (this.loader.isBehind) return true;
    return targetsOf(this.store.state, cursor).some(({ run, iteration }) => shown[run]?.iteration !== iteration);
  }

  /** After a lost connection or a mended file: ask for everything again. */
  retry(): void {
    this.frames.forgetFailures();
    this.tail?.retry();
    this.loader.repeat(this.store.state);
  }

  private update(update: TailUpdate): void {
    this.store.dispatch({ type: 'updated', update, now_unix_s: this.hooks.now_unix_s() });
  }

  private async loadScalars(run: string): Promise<void> {
    try {
      const scalars = await this.api.scalars(run);
      this.store.dispatch({ type: 'scalars', run, scalars });
    } catch (error) {
      this.store.dispatch({ type: 'notice', notice: `The scalars could not be read: ${messageOf(error)}` });
    }
  }

  /** The first picture of a plan waits for its catalogue, and gives way if a newer one comes first. */
  private async presentWithPlans(pictures: Picture[]): Promise<void> {
    const sequence = (this.presentSequence += 1);
    try {
      const plans = pictures.flatMap(({ run, frame, second }) => [
        { run, frame },
        { run: second?.run ?? run, frame: second?.frame ?? null },
      ]);
      const missing = plans.filter(({ run, frame }) => frame && !this.planNow(run, frame.plan));
      if (missing.length > 0) {
        await Promise.all(missing.map(({ run, frame }) => this.plan(run, frame!.plan)));
      }
      const normed = pictures.filter(({ run, frame, norms }) => frame && norms?.content && !this.positionsNow(run, frame.plan));
      // Without them rows stay in their order; that is no reason to show nothing.
      if (normed.length > 0) await Promise.all(normed.map(({ run, frame }) => this.positionsOf(run, frame!.plan).catch(() => null)));
      if (sequence === this.presentSequence) this.hooks.present(pictures);
    } catch (error) {
      if (error instanceof ApiError && (error.kind === 'network' || error.kind === 'unreachable')) this.retryLater();
      else this.store.dispatch({ type: 'failed', failure: `The catalogue could not be read: ${messageOf(error)}` });
    }
  }

  private reconnected(): void {
    this.frames.forgetFailures();
    this.loader.repeat(this.store.state);
  }

  private retryLater(): void {
    if (this.retryTimer !== null) return;
    this.retryTimer = setTimeout(() => {
      this.retryTimer = null;
      this.loader.repeat(this.store.state);
    }, RETRY_ms);
  }
}

/** What is said to somebody whose link names runs that are not here. */
function missingText(missing: readonly string[], offered: readonly RunSummary[]): string {
  const refused = offered.find((run) => missing.includes(run.id) && run.error !== null);
  if (refused) return `${refused.name}, which this link names, cannot be opened. ${refused.error}`;
  return 'This link names a run that is not on this viewer, so another one is shown.';
}

/** One request for each key; a failed one is forgotten, so that the next call asks again. */
function remember<T>(known: Map<string, Promise<T>>, key: string, ask: () => Promise<T>): Promise<T> {
  let answer = known.get(key);
  if (!answer) {
    answer = ask();
    known.set(key, answer);
    answer.catch(() => known.delete(key));
  }
  return answer;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
