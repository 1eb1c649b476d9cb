import { describe, expect, test } from 'vitest';
import type { TensorInfo } from '../src/data/types';
import { layoutModel } from '../src/layout/architecture';
import { overlaps, rectOf, type Layout } from '../src/layout/boxes';
import { sideLength } from '../src/layout/size';
import { sectionTitle } from '../src/layout/generic';
import { convolutional, experts, gpt2, llama, tensorsOf } from './models';

const options = { aspect: 16 / 9, cloud: true };

/** Pairs of overlapping plates, found by sweeping along x. */
function overlapping(layout: Layout): string[] {
  const rects = layout.boxes
    .flatMap((box) => (box.slices ?? [box]).map((piece) => ({ tensor: box.tensor, ...rectOf(piece) })))
    .sort((a, b) => a.left - b.left);
  const found: string[] = [];
  rects.forEach((rect, index) => {
    for (let other = index + 1; other < rects.length && rects[other]!.left < rect.right; other += 1) {
      if (overlaps(rect, rects[other]!)) found.push(`${rect.tensor} and ${rects[other]!.tensor}`);
    }
  });
  return found;
}

function boxNamed(layout: Layout, tensors: readonly TensorInfo[], name: string) {
  const index = tensors.find((tensor) => tensor.name === name)!.index;
  return layout.boxes.find((box) => box.tensor === index)!;
}

const models: [string, TensorInfo[]][] = [
  ['a small GPT', gpt2(4, 128, 97)],
  ['GPT-2', gpt2(12, 768)],
  ['GPT-2 XL', gpt2(48, 1600)],
  ['a llama', llama(16, 2048)],
  ['a convolutional network', convolutional(16)],
  ['a mixture of experts', experts(4, 32)],
  ['one matrix', tensorsOf([['weight', [3, 5], 'other', 'other', null]])],
  ['one number', tensorsOf([['temperature', [], 'other', 'other', null]])],
];

describe.each(models)('%s', (_name, tensors) => {
  const layout = layoutModel(tensors, options);

  test('every tensor has one plate, and no two plates overlap', () => {
    expect(layout.boxes.map((box) => box.tensor).sort((a, b) => a - b)).toEqual(tensors.map((tensor) => tensor.index));
    expect(overlapping(layout)).toEqual([]);
  });

  test('everything lies inside the bounds, and the cloud outside the model', () => {
    const { bounds, core } = layout;
    for (const rect of layout.boxes.map(rectOf)) {
      expect(rect.left).toBeGreaterThanOrEqual(bounds.left);
      expect(rect.right).toBeLessThanOrEqual(bounds.right + 1e-9);
      expect(rect.bottom).toBeGreaterThanOrEqual(bounds.bottom - 1e-9);
      expect(rect.top).toBeLessThanOrEqual(bounds.top + 1e-9);
    }
    const cloud = layout.cloud!;
    expect(overlaps(core, rectOf({ ...cloud, width: cloud.size, height: cloud.size }))).toBe(false);
  });

  test('all numbers are finite', () => {
    const numbers = layout.boxes.flatMap((box) => [box.x, box.y, box.width, box.height]);
    expect(numbers.every((value) => Number.isFinite(value))).toBe(true);
    expect(layout.boxes.every((box) => box.width > 0 && box.height > 0)).toBe(true);
  });
});

describe('the order of a transformer', () => {
  const tensors = gpt2(3, 768);
  const layout = layoutModel(tensors, { aspect: 0.1, cloud: false });
  const at = (name: string) => boxNamed(layout, tensors, name);

  test('token embedding left, position embedding right, both at the top', () => {
    const tokens = at('transformer.wte.weight');
    const positions = at('transformer.wpe.weight');
    expect(tokens.x).toBeLessThan(0);
    expect(positions.x).toBeGreaterThan(0);
    expect(Math.min(tokens.y, positions.y)).toBeGreaterThan(at('transformer.h.0.ln_1.weight').y);
  });

  test('in each layer: norm on the spine, attention left of it, norm, MLP right of it', () => {
    for (const layer of [0, 1, 2]) {
      const part = (name: string) => at(`transformer.h.${layer}.${name}.weight`);
      expect(part('ln_1').x).toBeCloseTo(0);
      expect(part('attn.c_attn').x).toBeLessThan(part('attn.c_proj').x);
      expect(part('attn.c_proj').x).toBeLessThan(0);
      expect(part('mlp.c_proj').x).toBeGreaterThan(0);
      expect(part('mlp.c_fc').x).toBeGreaterThan(part('mlp.c_proj').x);
      expect(part('ln_1').y).toBeGreaterThan(part('attn.c_proj').y);
      expect(part('ln_2').y).toBeLessThan(part('ln_1').y);
      expect(part('mlp.c_fc').y).toBeLessThan(part('ln_2').y);
    }
  });

  test('layers follow each other downward, then the final norm, then the head', () => {
    const ys = [0, 1, 2].map((layer) => at(`transformer.h.${layer}.ln_1.weight`).y);
    expect([...ys].sort((a, b) => b - a)).toEqual(ys);
    expect(at('transformer.ln_f.weight').y).toBeLessThan(ys[2]!);
    expect(at('lm_head.weight').y).toBeLessThan(at('transformer.ln_f.weight').y);
  });

  test('a bias lies along the side of its weight that has its length', () => {
    const weight = rectOf(at('transformer.h.0.mlp.c_fc.weight'));
    const bias = rectOf(at('transformer.h.0.mlp.c_fc.bias'));
    expect(bias.right).toBeLessThanOrEqual(weight.left);
    expect([bias.bottom, bias.top]).toEqual([weight.bottom, weight.top]);
    const projection = rectOf(at('transformer.h.0.mlp.c_proj.weight'));
    const under = rectOf(at('transformer.h.0.mlp.c_proj.bias'));
    expect(under.top).toBeLessThanOrEqual(projection.bottom);
    expect([under.left, under.right]).toEqual([projection.left, projection.right]);
  });

  test('a tied head is an outline that says whose weights it has', () => {
    const head = at('lm_head.weight');
    expect(head.ghost).toBe(true);
    expect(head.label).toBe('lm_head (tied to wte)');
  });

  test('Q, K and V of one weight stand side by side, each with its rows, heads and part of the bias', () => {
    const weight = at('transformer.h.0.attn.c_attn.weight');
    expect(weight.slices!.map((slice) => slice.label)).toEqual(['Q', 'K', 'V']);
    expect(weight.slices!.map((slice) => [slice.column, slice.columns])).toEqual([[0, 36], [36, 36], [72, 36]]); // prettier-ignore
    expect(weight.split).toEqual({ axis: 'columns', parts: 12 });
    const bias = at('transformer.h.0.attn.c_attn.bias');
    for (const [part, slice] of bias.slices!.entries()) {
      expect(slice.y).toBeCloseTo(weight.slices![part]!.y);
      expect(slice.height).toBeCloseTo(weight.slices![part]!.height);
      expect(slice.x).toBeGreaterThan(weight.slices![part]!.x);
    }
  });

  test('a head is one lane across Q, K, V and the projection', () => {
    const weight = at('transformer.h.0.attn.c_attn.weight');
    const projection = at('transformer.h.0.attn.c_proj.weight');
    expect(projection.split).toEqual({ axis: 'rows', parts: 12 });
    expect([projection.y, projection.height]).toEqual([weight.slices![0]!.y, weight.slices![0]!.height]);
    // Rows of the projection run down, heads in them, as the columns of the transposed Q, K and V do.
    expect([weight.transposed, projection.transposed]).toEqual([true, false]);
  });

  test('a neuron is one line across both matrices of the MLP', () => {
    const [up, down] = [at('transformer.h.0.mlp.c_fc.weight'), at('transformer.h.0.mlp.c_proj.weight')];
    expect([up.y, up.height]).toEqual([down.y, down.height]);
    expect([up.transposed, down.transposed]).toEqual([true, false]);
  });
});

test('norms registered after their blocks still stand before them', () => {
  const tensors = llama(2, 2048);
  const layout = layoutModel(tensors, { aspect: 0.1, cloud: false });
  const y = (name: string) => boxNamed(layout, tensors, `model.layers.0.${name}.weight`).y;
  expect(y('input_layernorm')).toBeGreaterThan(y('self_attn.o_proj'));
  expect(y('post_attention_layernorm')).toBeLessThan(y('input_layernorm'));
  expect(y('post_attention_layernorm')).toBeGreaterThan(y('mlp.down_proj'));
});

test('a bias stands at the side where the outputs of its square weight are', () => {
  const upright = (transposed: boolean) => {
    const tensors = tensorsOf([
      ['h.0.mlp.a.weight', [64, 64], 'mlp_up', 'mlp', 0],
      ['h.0.mlp.a.bias', [64], 'bias', 'mlp', 0],
    ]).map((tensor) => ({ ...tensor, transposed }));
    const layout = layoutModel(tensors, options);
    const bias = boxNamed(layout, tensors, 'h.0.mlp.a.bias');
    expect(boxNamed(layout, tensors, 'h.0.mlp.a.weight').transposed).toBe(transposed);
    return bias.height > bias.width;
  };
  expect([upright(false), upright(true)]).toEqual([true, true]);
});

test('the proportions are those of the shapes on a compressed scale', () => {
  const tensors = gpt2(1, 768);
  const box = boxNamed(layoutModel(tensors, options), tensors, 'transformer.h.0.mlp.c_fc.weight');
  expect(box.height / box.width).toBeCloseTo(sideLength(3072) / sideLength(768));
  expect(sideLength(50257) / sideLength(768)).toBeLessThan(8);
});

test('48 layers wrap into columns that fit a wide window; a narrow one gets fewer columns', () => {
  const columns = (aspect: number) => {
    const tensors = gpt2(48, 1600);
    const layout = layoutModel(tensors, { aspect, cloud: false });
    return new Set(
      tensors.filter((one) => one.name.endsWith('ln_1.weight')).map((one) => boxNamed(layout, tensors, one.name).x),
    ).size;
  };
  expect(columns(16 / 9)).toBeGreaterThan(3);
  expect(columns(16 / 9)).toBeGreaterThan(columns(0.5));
});

test('a generic model keeps the order of its module tree', () => {
  const tensors = convolutional(12);
  const layout = layoutModel(tensors, { aspect: 1.5, cloud: false });
  expect(layout.boxes.map((box) => box.tensor)).toEqual(tensors.map((tensor) => tensor.index));
  expect(layout.regions.map((region) => region.title).slice(0, 2)).toEqual(['stage0.0', 'stage0.1']);
});

test('a heading is the path down to the number of a block', () => {
  expect(sectionTitle('layer1.0.conv1.weight')).toBe('layer1.0');
  expect(sectionTitle('encoder.block.2.attn.q.weight')).toBe('encoder.block.2');
  expect(sectionTitle('fc.weight')).toBe('fc');
  expect(sectionTitle('weight')).toBe('weight');
});

test('20,000 tensors are laid out without overlaps', () => {
  const tensors = experts(20, 500);
  expect(tensors.length).toBeGreaterThan(20_000);
  const layout = layoutModel(tensors, options);
  expect(layout.boxes).toHaveLength(tensors.length);
  expect(overlapping(layout)).toEqual([]);
});

test('the same tensors give the same layout', () => {
  expect(layoutModel(gpt2(12, 768), options)).toEqual(layoutModel(gpt2(12, 768), options));
});
