import { describe, expect, test } from 'vitest';
import { layoutModel } from '../src/layout/architecture';
import { FEED_HUES, feedLines, feedsOf } from '../src/layout/feeds';
import { convolutional, gpt2, recorded } from './models';

const options = { aspect: 1.6, cloud: true };

function neighbours(tensors: ReturnType<typeof gpt2>) {
  const layout = layoutModel(tensors, options);
  const index = (name: string) => tensors.find((tensor) => tensor.name === name)!.index;
  const names = (list: readonly number[]) =>
    list.map((tensor) => tensors[tensor]!.name).filter((name) => name.endsWith('weight'));
  return (name: string) => {
    const feeds = feedsOf(layout, index(name));
    return { ...feeds, sources: names(feeds.sources), targets: names(feeds.targets) };
  };
}

const h = (layer: number, name: string) => `transformer.h.${layer}.${name}.weight`;

test('from embedding to head, each weight names what feeds it and what it feeds', () => {
  const of = neighbours(gpt2(3, 768));
  expect(of('transformer.wte.weight').targets).toEqual([h(0, 'ln_1')]);
  expect(of(h(0, 'ln_1'))).toMatchObject({
    sources: ['transformer.wte.weight', 'transformer.wpe.weight'],
    targets: [h(0, 'attn.c_attn')],
  });
  expect(of(h(1, 'attn.c_attn'))).toMatchObject({ sources: [h(1, 'ln_1')], targets: [h(1, 'attn.c_proj')] });
  expect(of(h(1, 'attn.c_proj'))).toMatchObject({ sources: [h(1, 'attn.c_attn')], targets: [h(1, 'ln_2')] });
  expect(of(h(1, 'mlp.c_fc'))).toMatchObject({ sources: [h(1, 'ln_2')], targets: [h(1, 'mlp.c_proj')] });
  expect(of(h(1, 'mlp.c_proj')).targets).toEqual([h(2, 'ln_1')]);
  expect(of(h(2, 'mlp.c_proj')).targets).toEqual(['transformer.ln_f.weight']);
  expect(of('lm_head.weight')).toMatchObject({ sources: ['transformer.ln_f.weight'], targets: [] });
});

test('a layer at the top of the next column is fed by the last one of the column before', () => {
  const of = neighbours(gpt2(48, 1600));
  for (let layer = 1; layer < 48; layer += 1) {
    expect(of(h(layer, 'ln_1')).sources).toEqual([h(layer - 1, 'mlp.c_proj')]);
  }
});

test('queries, keys and values are read from one norm and meet in the projection', () => {
  const of = neighbours(recorded('Llama'));
  const at = (name: string) => `model.layers.1.${name}.weight`;
  const readers = ['q', 'k', 'v'].map((one) => at(`self_attn.${one}_proj`));
  expect(of(at('input_layernorm')).targets).toEqual(readers);
  for (const reader of readers) expect(of(reader).targets).toEqual([at('self_attn.o_proj')]);
  expect(of(at('self_attn.o_proj')).sources).toEqual(readers);
});

test('each line that is told exists, and a bias has the neighbours of its weight', () => {
  const tensors = gpt2(2, 768);
  const layout = layoutModel(tensors, options);
  const weight = feedsOf(layout, tensors.find((one) => one.name === h(1, 'mlp.c_fc'))!.index);
  const bias = feedsOf(layout, tensors.find((one) => one.name === 'transformer.h.1.mlp.c_fc.bias')!.index);
  expect(bias).toEqual(weight);
  for (const line of [...weight.incoming, ...weight.outgoing]) expect(layout.lines[line]!.kind).toBe('flow');
});

test('a generic layout claims no flow', () => {
  const layout = layoutModel(convolutional(4), options);
  expect(feedsOf(layout, 0)).toEqual({ sources: [], targets: [], incoming: [], outgoing: [] });
});

describe('what is lit for a weight', () => {
  test('are its ribbons in the hue of their side, and outlines around each neighbour', () => {
    const layout = layoutModel(gpt2(2, 64), { aspect: 2, cloud: false });
    const up = gpt2(2, 64).find(({ role, layer }) => role === 'mlp_up' && layer === 1)!;
    const { sources, targets, incoming, outgoing } = feedsOf(layout, up.index);
    const lit = feedLines(layout, up.index);
    const of = (hue: readonly number[], kind: 'ribbon' | 'outline') =>
      lit.filter((line) => line.hue === hue && (line.kind === 'dimension') === (kind === 'outline'));
    expect(of(FEED_HUES.source, 'ribbon').map(({ points }) => points)).toEqual(incoming.map((at) => layout.lines[at]!.points));
    expect(of(FEED_HUES.target, 'ribbon').map(({ points }) => points)).toEqual(outgoing.map((at) => layout.lines[at]!.points));
    const plates = (tensors: number[]) =>
      layout.boxes
        .filter((box) => box.tensor !== up.index && tensors.includes(box.tensor))
        .reduce((sum, { slices }) => sum + (slices?.length ?? 1), 0);
    expect(of(FEED_HUES.source, 'outline').length).toBe(plates(sources));
    expect(of(FEED_HUES.target, 'outline').length).toBe(plates(targets));
    expect(lit.length).toBeGreaterThan(1);
  });
});
