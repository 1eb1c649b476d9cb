/** Real models of many kinds: nothing overlaps, nothing crosses a block, and the order is that of the flow. */

import { describe, expect, test } from 'vitest';
import type { TensorInfo } from '../src/data/types';
import { layoutModel } from '../src/layout/architecture';
import { fitOf, overlaps, rectOf, type Box, type Layout, type Rect } from '../src/layout/boxes';
import { placeLabels } from '../src/layout/labels';
import { gpt2, recorded, RECORDED } from './models';

const home = { aspect: 1028 / 540, cloud: true };

function box(layout: Layout, tensors: readonly TensorInfo[], name: string): Box {
  const { index } = tensors.find((tensor) => tensor.name === name)!;
  return layout.boxes.find((one) => one.tensor === index)!;
}

const piecesOf = (layout: Layout) => layout.boxes.flatMap((one) => (one.slices ?? [one]).map(rectOf));

/** Pairs of ribbon segments and plates that lie over each other by more than touching. */
function crossings(layout: Layout): string[] {
  const pieces = piecesOf(layout);
  return layout.lines
    .filter((line) => line.kind === 'flow')
    .flatMap((line) => line.points.slice(1).map((point, index) => [line.points[index]!, point] as const))
    .flatMap(([[x1, y1], [x2, y2]]) => {
      const slim = 0.02;
      const path: Rect = {
        ...{ left: Math.min(x1, x2) + slim, right: Math.max(x1, x2) - slim },
        ...{ bottom: Math.min(y1, y2) + slim, top: Math.max(y1, y2) - slim },
      };
      if (x1 === x2) [path.left, path.right] = [x1 - slim, x1 + slim];
      if (y1 === y2) [path.bottom, path.top] = [y1 - slim, y1 + slim];
      const inner = (rect: Rect): Rect => ({
        ...{ left: rect.left + slim, right: rect.right - slim, bottom: rect.bottom + slim, top: rect.top - slim },
      });
      return pieces.filter((rect) => overlaps(path, inner(rect))).map((rect) => JSON.stringify([path, rect]));
    });
}

const models: [string, TensorInfo[]][] = [
  ...RECORDED.map((name): [string, TensorInfo[]] => [name, recorded(name)]),
  ['GPT-2 small', gpt2(12, 768)],
  ['GPT-2 XL', gpt2(48, 1600)],
];

describe.each(models)('%s', (_name, tensors) => {
  const layout = layoutModel(tensors, home);

  test('has one plate for each tensor, apart from all others and inside the bounds', () => {
    const shown = tensors.filter((one) => one.samples > 0 || one.tied_to !== null).map((one) => one.index);
    expect(layout.boxes.map((one) => one.tensor).sort((a, b) => a - b)).toEqual(shown);
    const pieces = piecesOf(layout);
    for (const [index, piece] of pieces.entries()) {
      for (const other of pieces.slice(index + 1)) if (overlaps(piece, other)) expect([piece, other]).toBe('apart');
      expect(piece.left).toBeGreaterThanOrEqual(layout.core.left);
      expect(piece.right).toBeLessThanOrEqual(layout.core.right);
      expect(piece.bottom).toBeGreaterThanOrEqual(layout.core.bottom);
      expect(piece.top).toBeLessThanOrEqual(layout.core.top);
    }
  });

  test('slices show every sample of their tensor once', () => {
    for (const { tensor, slices } of layout.boxes) {
      const [rows, columns] = tensors[tensor]!.grid;
      if (slices) expect(slices.reduce((sum, slice) => sum + slice.rows * slice.columns, 0)).toBe(rows * columns);
    }
  });

  test('no ribbon crosses a plate', () => {
    expect(crossings(layout)).toEqual([]);
  });

  test('the titles of layers and sections are all there in the home view', () => {
    const scale = fitOf(layout.bounds, home.aspect) * 540;
    const titles = layout.labels.filter((label) => label.priority <= 1 && label.tone === 'title');
    const candidates = titles.map((label, id) => {
      const small = label.short !== undefined && label.span * scale < 60;
      const width = 7 * (small ? label.short! : label.text).length + 12;
      return { id, left: label.x * scale, top: -label.y * scale, width, height: small ? 17 : 20, priority: 1 };
    });
    expect(placeLabels(candidates)).toHaveLength(titles.length);
  });
});

test('keys and values of fewer heads are smaller than the queries, each with its own heads', () => {
  const tensors = recorded('Llama');
  const layout = layoutModel(tensors, home);
  const at = (name: string) => box(layout, tensors, `model.layers.1.self_attn.${name}_proj.weight`);
  expect(at('q').split).toEqual({ axis: 'rows', parts: 32 });
  expect(at('k').split).toEqual({ axis: 'rows', parts: 8 });
  expect(at('k').height).toBeLessThan(at('q').height);
  expect([at('q').x, at('k').x, at('v').x, at('o').x].every((x, index, xs) => index === 0 || x > xs[index - 1]!)).toBe(true);
});

test('an encoder and a decoder stand in columns of their own, cross-attention below self-attention', () => {
  const tensors = recorded('T5');
  const layout = layoutModel(tensors, home);
  const at = (name: string) => box(layout, tensors, name);
  const encoder = at('encoder.block.2.layer.0.SelfAttention.o.weight');
  const self = at('decoder.block.0.layer.0.SelfAttention.o.weight');
  const cross = at('decoder.block.0.layer.1.EncDecAttention.o.weight');
  expect(encoder.x).toBeLessThan(self.x);
  expect(cross.x).toBeCloseTo(self.x);
  expect(cross.y).toBeLessThan(self.y);
  expect(at('encoder.final_layer_norm.weight').x).toBeLessThan(self.x);
  const titles = layout.regions.map((region) => region.title);
  expect(titles).toContain('encoder layer 0');
  expect(titles).toContain('decoder layer 0');
  const memory = layout.lines.filter((line) => line.from.length === 0 && line.to.length > 0 && line.kind === 'flow');
  const keys = ['k', 'v'].map((one) => at(`decoder.block.0.layer.1.EncDecAttention.${one}.weight`).tensor);
  expect(memory.map((line) => line.to)).toEqual([keys]);
});

test('each norm of T5 stands before the sublayer that it is registered with, though it comes after it', () => {
  const tensors = recorded('T5');
  const layout = layoutModel(tensors, home);
  const y = (name: string) => box(layout, tensors, `decoder.block.1.layer.${name}.weight`).y;
  expect(y('0.layer_norm')).toBeGreaterThan(y('0.SelfAttention.q'));
  expect(y('1.layer_norm')).toBeLessThan(y('0.layer_norm'));
  expect(y('2.layer_norm')).toBeLessThan(y('1.layer_norm'));
  expect(y('2.layer_norm')).toBeGreaterThan(y('2.DenseReluDense.wi'));
});

test("BERT's norms stand after attention and after the MLP", () => {
  const tensors = recorded('BERT');
  const layout = layoutModel(tensors, home);
  const y = (name: string) => box(layout, tensors, `bert.encoder.layer.0.${name}.weight`).y;
  expect(y('attention.output.LayerNorm')).toBeLessThan(y('attention.output.dense'));
  expect(y('output.LayerNorm')).toBeLessThan(y('output.dense'));
});

test('kernels recorded whole are tiles; of others only a matrix of samples is shown', () => {
  const whole: number[] = [];
  for (const tensors of [recorded('convolutions'), recorded('ResNet')]) {
    const layout = layoutModel(tensors, home);
    for (const one of tensors.filter((tensor) => tensor.role === 'conv' && tensor.shape.length === 4)) {
      const [, inner, high, wide] = one.shape as [number, number, number, number];
      const isWhole = one.grid[1] === inner * high * wide && high > 1;
      expect(box(layout, tensors, one.name).tile).toEqual(isWhole ? [high, wide] : null);
      if (isWhole) whole.push(one.index);
    }
  }
  expect(whole.length).toBeGreaterThan(0);
});

test('all experts of a layer in one tensor are lanes, with their number in the name', () => {
  const tensors = recorded('Mixtral');
  const layout = layoutModel(tensors, home);
  const experts = layout.boxes.filter((one) => tensors[one.tensor]!.role === 'expert');
  expect(new Set(experts.map((one) => one.split?.parts))).toEqual(new Set([16]));
  expect(experts[0]!.label).toBe('gate_up_proj × 16');
  expect(experts[0]!.width).toBeLessThan(40);
});

test('a long strip is folded into lines', () => {
  const tensors = recorded('ViT');
  const layout = layoutModel(tensors, home);
  const positions = box(layout, tensors, 'vit.embeddings.position_embeddings');
  expect(positions.slices!.length).toBeGreaterThan(2);
  expect(positions.width).toBeLessThan(40);
});

test('columns of a deep model hold the same number of layers, or one less', () => {
  for (const layers of [10, 12, 17, 48]) {
    const tensors = gpt2(layers, 768);
    const layout = layoutModel(tensors, home);
    const counts = new Map<number, number>();
    for (const one of tensors.filter((tensor) => tensor.name.endsWith('ln_1.weight'))) {
      const x = Math.round(box(layout, tensors, one.name).x);
      counts.set(x, (counts.get(x) ?? 0) + 1);
    }
    const sizes = [...counts.values()];
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  }
});

test('the headings of a residual network are its stages and their blocks, in order', () => {
  const tensors = recorded('ResNet');
  const layout = layoutModel(tensors, { ...home, cloud: false });
  expect(layout.regions.map((region) => region.title)).toEqual([
    ...['resnet', 'stages.0', 'stages.1', 'stages.2', 'stages.3', 'classifier.1'],
  ]);
  expect(layout.labels.map((label) => label.text)).toContain('layers.1');
  expect(layout.lines.every((line) => line.kind === 'ground')).toBe(true);
});
