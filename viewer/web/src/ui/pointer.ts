/** From a place on the canvas to what is there, and its words for the hover card. */

import { Vector3 } from 'three';
import type { Plan } from '../data/types';
import { cellAt, type CellAddress } from '../layout/cells';
import { onFront, pointAt, rayThrough, type PointHit } from '../render/pick';
import type { Stage } from '../render/stage';
import type { View } from '../render/view';
import type { Session } from '../state/session';
import type { CellFacts, TokenFacts } from './hovercard';
import { token as tokenText } from './format';
import { cellLines } from './looktext';
import type { TokenLabel } from './tokenlabels';

export type Hit = { view: View } & (
  | { kind: 'cell'; cell: CellAddress; tensor: number }
  | { kind: 'point'; hit: PointHit }
  | { kind: 'nothing' }
);

/** What is under a point of the canvas (CSS pixels), in which view. */
export function hitAt(stage: Stage, views: readonly View[], x: number, y: number): Hit | null {
  const { width, height } = stage.viewSize;
  const index = Math.min(Math.floor(x / width), views.length - 1);
  const view = views[index];
  if (!view) return null;
  const local = { x: x - index * width, y };
  const camera = stage.look(view);
  if (view.cloud) {
    const hit = pointAt(view.cloud, camera, local, { width, height });
    if (hit) return { view, kind: 'point', hit };
  }
  const front = onFront(rayThrough(camera, (local.x / width) * 2 - 1, 1 - (local.y / height) * 2));
  const cell = front && cellAt(view.layout.boxes, view.plan.tensors, front);
  if (!cell) return { view, kind: 'nothing' };
  return { view, kind: 'cell', cell, tensor: view.layout.boxes[cell.plate]!.tensor };
}

/** Positions and vocabularies, asked for when first needed and kept. */
export class HoverFacts {
  private readonly session: Session;
  private readonly changed: () => void;
  private readonly positions = new Map<string, { values: Float64Array; vectors: Float64Array } | null>();
  private readonly vocabularies = new Map<string, string[] | null>();

  /** `changed` is called when something asked for has come. */
  constructor(session: Session, changed: () => void) {
    this.session = session;
    this.changed = changed;
  }

  cell(view: View, cell: CellAddress, statistics: readonly string[], nameOf: (run: string) => string): CellFacts {
    const tensor = view.plan.tensors[view.layout.boxes[cell.plate]!.tensor]!;
    const positions = this.positionsOf(view.run, view.plan);
    const { row, column } = view.sampleOf(cell);
    const place = row * tensor.grid[1] + column;
    return {
      plan: view.plan,
      tensor,
      frame: view.frame,
      statistics,
      row,
      column,
      position: positions?.[tensor.array][tensor.offset + place] ?? null,
      lines: view.served && view.look ? cellLines(view.served, view.look, view.plan, tensor, place, nameOf) : [],
    };
  }

  token(view: View, hit: PointHit): TokenFacts | null {
    const embedding = view.frame?.embedding;
    if (!embedding || !view.cloud) return null;
    const vocabulary = this.vocabularyOf(view.run);
    const row = view.cloud.tokenOf(hit.point);
    const tokenAt = (place: number) => view.plan.embedding_tokens?.[place] ?? place;
    const text = (place: number) => {
      const known = vocabulary?.[tokenAt(place)];
      return known === undefined ? null : tokenText(known);
    };
    const at = row * 3;
    const { coordinates } = embedding;
    return {
      token: tokenAt(row),
      text: text(row),
      magnitude: embedding.magnitude[row]!,
      coordinates: [coordinates[at]!, coordinates[at + 1]!, coordinates[at + 2]!],
    };
  }

  /** The hovered token's name and its neighbours', each where its point is on screen. */
  tokenLabels(stage: Stage, view: View, hit: PointHit): TokenLabel[] {
    const vocabulary = this.vocabularyOf(view.run);
    if (!vocabulary || !view.cloud) return [];
    const { cloud } = view;
    const camera = stage.look(view);
    const { width, height } = stage.viewSize;
    const left = stage.indexOf(view) * width;
    return [hit.point, ...hit.neighbours].map((point) => {
      const at = cloud.worldOf(point, new Vector3()).project(camera);
      const row = cloud.tokenOf(point);
      const token = view.plan.embedding_tokens?.[row] ?? row;
      const text = vocabulary[token];
      return {
        text: text === undefined ? String(token) : tokenText(text),
        x: left + (at.x * 0.5 + 0.5) * width,
        y: (0.5 - at.y * 0.5) * height,
      };
    });
  }

  private positionsOf(run: string, plan: Plan): { values: Float64Array; vectors: Float64Array } | null {
    const key = `${run}/${plan.number}`;
    if (!this.positions.has(key)) {
      this.positions.set(key, null);
      this.session.positionsOf(run, plan.number).then(
        (positions) => {
          this.positions.set(key, positions);
          this.changed();
        },
        () => this.positions.delete(key),
      );
    }
    return this.positions.get(key) ?? null;
  }

  vocabularyOf(run: string): string[] | null {
    if (!this.vocabularies.has(run)) {
      this.vocabularies.set(run, null);
      this.session.vocabulary(run).then(
        (vocabulary) => {
          this.vocabularies.set(run, vocabulary);
          this.changed();
        },
        () => this.vocabularies.delete(run),
      );
    }
    return this.vocabularies.get(run) ?? null;
  }
}
