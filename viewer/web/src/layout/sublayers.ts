/** A layer's modules in the order of the flow: norms, then what reads the stream after them and writes back. */

import type { TensorInfo } from '../data/types';
import { matrixShape } from './boxes';
import { sideLength } from './size';
import { makeUnit, moduleOf, type Unit } from './units';

/** Attention or MLP: leaves the residual stream behind its norms and comes back into it. */
export interface Sublayer {
  kind: 'attention' | 'mlp';
  norms: Unit[];
  /** In the order of the flow; the last is the one that writes back into the stream. */
  units: Unit[];
}

export interface LayerUnits {
  layer: number;
  /** On the stream above everything else, e.g. the norm of the embeddings. */
  before: Unit[];
  sublayers: Sublayer[];
  /** Norms after the last sublayer. */
  after: Unit[];
}

/** Readers of the stream first, writers last. */
const FLOW_ORDER: Record<string, number> = {
  router: 0,
  attention_query: 1,
  attention_key: 2,
  attention_value: 3,
  attention_qkv: 3,
  mlp_gate: 1,
  mlp_up: 2,
  expert: 3,
  attention_projection: 9,
  mlp_down: 9,
};
const WRITERS = new Set(['attention_projection', 'mlp_down']);
const QUERIES = new Set(['attention_query', 'attention_qkv']);

const inFlow = (a: Unit, b: Unit) => (FLOW_ORDER[a.role] ?? 5) - (FLOW_ORDER[b.role] ?? 5);

const roleOf = (group: readonly TensorInfo[]) => (group.find((tensor) => tensor.role !== 'bias') ?? group[0]!).role;

interface Draft {
  kind: Sublayer['kind'];
  start: number;
  groups: (readonly TensorInfo[])[];
  norms: (readonly TensorInfo[])[];
}

/** `width`: that of the residual stream; a norm of another width belongs to the block that it stands in. */
export function sublayersOf(layer: number, groups: readonly (readonly TensorInfo[])[], width: number): LayerUnits {
  const drafts: Draft[] = [];
  const norms: (readonly TensorInfo[])[] = [];
  for (const group of groups) {
    const { block } = group[0]!;
    if (block === 'norm' && matrixShape(group[0]!)[1] === width) norms.push(group);
    else draftFor(block === 'attention' || block === 'norm' ? 'attention' : 'mlp', group, drafts).groups.push(group);
  }
  const after = placeNorms(norms, drafts);
  const options = { stripWidth: sideLength(width) };
  const onStream = (list: readonly (readonly TensorInfo[])[]) => list.map((group) => makeUnit(group, options));
  return {
    layer,
    before: [],
    sublayers: drafts.map((draft) => ({
      kind: draft.kind,
      norms: onStream(draft.norms),
      units: draft.groups.map((group) => sideUnit(group, draft)).sort(inFlow),
    })),
    after: onStream(after),
  };
}

function sideUnit(group: readonly TensorInfo[], draft: Draft): Unit {
  const several = draft.groups.length > 1;
  const outputs = several && WRITERS.has(roleOf(group)) ? 'across' : 'down';
  return makeUnit(group, { outputs, mirrored: draft.kind === 'mlp' });
}

/** The sublayer that a module belongs to: queries after a projection begin another attention. */
function draftFor(kind: Sublayer['kind'], group: readonly TensorInfo[], drafts: Draft[]): Draft {
  const role = roleOf(group);
  const found = drafts.findLast((draft) => draft.kind === kind);
  const has = (roles: ReadonlySet<string>) => found?.groups.some((other) => roles.has(roleOf(other))) ?? false;
  if (found && !(QUERIES.has(role) && has(QUERIES) && has(WRITERS))) return found;
  const draft: Draft = { kind, start: group[0]!.index, groups: [], norms: [] };
  drafts.push(draft);
  return draft;
}

/**
 * A norm whose parent holds one whole sublayer and nothing else stands before that one, any other where it
 * was registered. Some models register all norms of a layer first or last: these are dealt out in turn.
 * Returns those after the last sublayer.
 */
function placeNorms(norms: readonly (readonly TensorInfo[])[], drafts: readonly Draft[]): (readonly TensorInfo[])[] {
  const slots: (readonly TensorInfo[])[][] = Array.from({ length: drafts.length + 1 }, () => []);
  for (const group of norms) {
    const parent = `${moduleOf(moduleOf(group[0]!.name))}.`;
    const held = drafts.filter((draft) => draft.groups.every((other) => other[0]!.name.startsWith(parent)));
    const own = held.length === 1 && drafts.length > 1 ? drafts.indexOf(held[0]!) : -1;
    const registered = drafts.filter((draft) => draft.start < group[0]!.index).length;
    slots[own >= 0 ? own : registered]!.push(group);
  }
  const crowded = slots.findIndex((slot) => slot.length === norms.length);
  if (drafts.length > 1 && norms.length >= drafts.length && crowded >= 0) {
    const each = Math.floor(norms.length / drafts.length);
    const all = slots[crowded]!.splice(0);
    all.forEach((group, index) => {
      const sublayer = Math.min(Math.floor(index / each), drafts.length - 1);
      // Two norms each: the second is applied to what comes back.
      slots[sublayer + (index % each > 0 ? 1 : 0)]!.push(group);
    });
  }
  drafts.forEach((draft, index) => draft.norms.push(...slots[index]!));
  return slots.at(-1)!;
}
