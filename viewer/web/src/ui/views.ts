/** The views of the selected runs: made when a first picture comes, made anew when their room changes shape. */

import { union } from '../layout/boxes';
import type { Stage } from '../render/stage';
import { SCENE_THEMES } from '../render/theme';
import type { Served } from '../render/looks';
import { View } from '../render/view';
import type { Picture } from '../state/picture';
import type { State } from '../state/model';
import type { Session } from '../state/session';
import type { Store } from '../state/store';

/** A room whose proportions change by more than this factor gets another layout. */
const RESHAPED = 1.35;

export class Views {
  private readonly stage: Stage;
  private readonly store: Store;
  private readonly session: Session;
  private readonly views = new Map<string, View>();
  /** The selection that the views were made for: another one has another room for each. */
  private madeFor: readonly string[] = [];
  private aspect = 1;

  constructor(stage: Stage, store: Store, session: Session) {
    this.stage = stage;
    this.store = store;
    this.session = session;
  }

  /** In the order of the runs. */
  get ordered(): View[] {
    return this.store.state.selected.map((id) => this.views.get(id)).filter((view) => view !== undefined);
  }

  of(run: string): View | undefined {
    return this.views.get(run);
  }

  /** Drops all views if they belong to another selection; true if they did. */
  dropForeign(): boolean {
    const { selected } = this.store.state;
    if (selected === this.madeFor) return false;
    this.madeFor = selected;
    for (const view of this.views.values()) view.dispose();
    this.views.clear();
    this.stage.setViews([]);
    return true;
  }

  /** The run's view, made anew when its plan changed. The plan must be known. */
  ensure(run: string, plan: number): View {
    const known = this.views.get(run);
    if (known?.plan.number === plan) return known;
    known?.dispose();
    const view = this.make(run, plan);
    this.views.set(run, view);
    return view;
  }

  /** Gives the stage its views; true if they are others than before. */
  arrange(): boolean {
    const { stage, ordered } = this;
    if (ordered.length === 0 || ordered.every((view) => stage.shows(view))) return false;
    stage.setViews(ordered);
    stage.rig.setReach(union(ordered.map((view) => view.layout.bounds)));
    return true;
  }

  /** After a change of the window: lays out anew where the old layout fits badly; true if it did. */
  reshape(): boolean {
    const { ordered } = this;
    if (ordered.length === 0) return false;
    const aspect = this.aspectFor(ordered.every((view) => view.cloud !== null));
    if (Math.abs(Math.log(aspect / this.aspect)) < Math.log(RESHAPED)) return false;
    for (const view of ordered) {
      const fresh = this.make(view.run, view.plan.number);
      fresh.show(view.served, performance.now(), false);
      view.dispose();
      this.views.set(view.run, fresh);
    }
    return this.arrange();
  }

  /** A picture; one without a frame takes the old one away. */
  show(view: View, picture: Picture, mayGlide: boolean): void {
    const { runs, look } = this.store.state;
    const { second, frame } = picture;
    const served: Served = {
      picture,
      secondPlan: (second?.frame && this.session.planNow(second.run, second.frame.plan)) ?? null,
      positions: this.session.positionsNow(view.run, frame?.plan ?? null),
      // The scale is the only part that needs no other pieces.
      look: { ...picture.look, scale: look.scale },
      statistics: runs[view.run]?.info.statistics ?? [],
    };
    view.show(served, performance.now(), mayGlide);
  }

  /** The same pictures in another scale. */
  rescale(): void {
    for (const view of this.ordered) if (view.served) this.show(view, view.served.picture, false);
  }

  private make(run: string, planNumber: number): View {
    const { state } = this.store;
    const plan = this.session.planNow(run, planNumber)!;
    const cloud = hasCloud(state, run);
    this.aspect = this.aspectFor(cloud);
    const { software, ratio } = this.stage;
    const theme = SCENE_THEMES[state.theme];
    const view = new View(run, plan, { aspect: this.aspect, cloud, software, ratio, theme });
    if (state.selection?.run === run) view.select(state.selection.tensor);
    return view;
  }

  private aspectFor(cloud: boolean): number {
    return this.stage.layoutAspect(this.store.state.selected.length, cloud);
  }
}

function hasCloud(state: State, run: string): boolean {
  return (state.runs[run]?.info.embedding ?? null) !== null;
}
