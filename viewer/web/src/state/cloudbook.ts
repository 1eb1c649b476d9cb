/** Everything the page knows of a run's embedding beside its frames: asked for when first needed, and kept. */

import type { Clusters, Neighbours, Projected, Projections, Suggestions, Trail, Trust } from '../data/cloud';
import { extended } from '../layout/moves';
import { Answers, type Answer } from './answers';
import type { Session } from './session';

/** A trail that lacks so many recorded snapshots at its end is asked for again. */
const MOST_LACKING = 12;
/** A growing run's suggestions are asked for again after so many snapshots. */
const SUGGESTED_EVERY = 16;

export class CloudBook {
  private readonly session: Session;
  private readonly trusts: Answers<Trust>;
  private readonly neighbourhoods: Answers<Neighbours>;
  private readonly suggested: Answers<Suggestions>;
  private readonly offered: Answers<Projections>;
  private readonly computed: Answers<Projected>;
  private readonly clustered: Answers<Clusters>;
  private readonly places: Answers<Float32Array | null>;
  private readonly ways: Answers<Trail>;
  private lastSuggested = '';

  constructor(session: Session, changed: () => void) {
    this.session = session;
    this.trusts = new Answers(64, changed);
    this.neighbourhoods = new Answers(256, changed);
    this.suggested = new Answers(4, changed);
    this.offered = new Answers(4, changed);
    this.computed = new Answers(2, changed);
    this.clustered = new Answers(2, changed);
    this.places = new Answers(6, changed);
    this.ways = new Answers(32, changed);
  }

  trust(run: string, iteration: number, basis: number): Answer<Trust> {
    return this.trusts.get(`${run}/${iteration}@${basis}`, () => this.session.cloud.trust(run, iteration, basis));
  }

  neighbours(run: string, token: number, iteration: number): Answer<Neighbours> {
    const key = `${run}/${token}/${iteration}`;
    return this.neighbourhoods.get(key, () => this.session.cloud.neighbours(run, token, iteration));
  }

  /** Those of a growing run as they were known a while ago, until newer ones have come. */
  suggestions(run: string, snapshots: number): Answer<Suggestions> {
    const key = `${run}/${Math.floor(snapshots / SUGGESTED_EVERY)}`;
    const fresh = this.suggested.get(key, () => this.session.cloud.suggestions(run));
    if (fresh.value) this.lastSuggested = key;
    const last = this.lastSuggested.startsWith(`${run}/`) ? this.suggested.peek(this.lastSuggested) : null;
    return fresh.value || !last ? fresh : { value: last, failure: null };
  }

  projections(run: string): Answer<Projections> {
    return this.offered.get(run, () => this.session.cloud.projections(run));
  }

  projected(run: string, name: string): Answer<Projected> {
    return this.computed.get(`${run}/${name}`, () => this.session.cloud.projected(run, name));
  }

  clusters(run: string): Answer<Clusters> {
    return this.clustered.get(run, () => this.session.cloud.clusters(run));
  }

  /** Coordinates of all recorded tokens at another snapshot than that on screen. */
  coordinates(run: string, iteration: number, basis: number): Answer<Float32Array | null> {
    const key = `${run}/${iteration}@${basis}`;
    return this.places.get(key, () => this.session.cloud.coordinates(run, iteration, basis));
  }

  /** What was on screen need not be asked for. */
  remember(run: string, iteration: number, basis: number, coordinates: Float32Array): void {
    this.places.set(`${run}/${iteration}@${basis}`, coordinates);
  }

  /** Ways of tokens through the whole run; those that are still to come are left out. */
  trails(run: string, tokens: readonly number[], basis: number, iterations: readonly number[]): Trail[] {
    return tokens
      .map((token) => {
        const key = wayKey(run, token, basis);
        const known = this.ways.peek(key);
        const ask = async () => (await this.session.cloud.trails(run, [token], basis))[0]!;
        if (known && lacking(iterations, known.iterations.at(-1) ?? -1) > MOST_LACKING) this.ways.refresh(key, ask);
        return known ?? this.ways.get(key, ask).value;
      })
      .filter((trail) => trail !== null);
  }

  /** The snapshot that follows on a way's end is its next step. */
  extend(
    run: string,
    token: number,
    basis: number,
    iteration: number,
    point: [number, number, number],
    iterations: readonly number[],
  ): void {
    const key = wayKey(run, token, basis);
    const known = this.ways.peek(key);
    const end = known?.iterations.at(-1);
    if (!known || end === undefined || iterations[iterations.lastIndexOf(end) + 1] !== iteration) return;
    this.ways.set(key, { ...known, ...extended(known, iteration, point) });
  }
}

const wayKey = (run: string, token: number, basis: number) => `${run}/${token}@${basis}`;

function lacking(iterations: readonly number[], end: number): number {
  let count = 0;
  for (let at = iterations.length - 1; at >= 0 && iterations[at]! > end; at -= 1) count += 1;
  return count;
}
