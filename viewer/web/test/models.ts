/** Catalogues of known models, as docs/HTTP.md gives them. */

import type { Block, TensorInfo } from '../src/data/types';
import catalogues from './catalogues.json';

type Row = [name: string, shape: number[], role: string, block: Block, layer: number | null];

export function tensorsOf(rows: readonly Row[]): TensorInfo[] {
  return rows.map(([name, shape, role, block, layer], index) => ({
    index,
    name,
    shape,
    dtype: 'float32',
    role,
    layer,
    block,
    tied_to: null,
    frozen: false,
    samples: 64,
    skipped: null,
    grid: shape.length > 1 ? [8, 8] : [1, 64],
    array: shape.length > 1 ? 'values' : 'vectors',
    offset: 64 * index,
    row_groups: 1,
    column_groups: 1,
    transposed: false,
  }));
}

/** GPT-2 with Conv1D weights ([in, out]) and a tied head: 12 tensors a layer and 5 around them. */
export function gpt2(layers: number, width: number, vocabulary = 50257): TensorInfo[] {
  const rows: Row[] = [
    ['transformer.wte.weight', [vocabulary, width], 'token_embedding', 'embedding', null],
    ['transformer.wpe.weight', [1024, width], 'position_embedding', 'embedding', null],
  ];
  for (let layer = 0; layer < layers; layer += 1) {
    const at = `transformer.h.${layer}`;
    const linear = (name: string, shape: [number, number], role: string, block: Block): Row[] => [
      [`${at}.${name}.weight`, shape, role, block, layer],
      [`${at}.${name}.bias`, [shape[1]], 'bias', block, layer],
    ];
    const norm = (name: string): Row[] => [
      [`${at}.${name}.weight`, [width], 'norm', 'norm', layer],
      [`${at}.${name}.bias`, [width], 'norm', 'norm', layer],
    ];
    rows.push(...norm('ln_1'));
    rows.push(...linear('attn.c_attn', [width, 3 * width], 'attention_qkv', 'attention'));
    rows.push(...linear('attn.c_proj', [width, width], 'attention_projection', 'attention'));
    rows.push(...norm('ln_2'));
    rows.push(...linear('mlp.c_fc', [width, 4 * width], 'mlp_up', 'mlp'));
    rows.push(...linear('mlp.c_proj', [4 * width, width], 'mlp_down', 'mlp'));
  }
  rows.push(['transformer.ln_f.weight', [width], 'norm', 'norm', null]);
  rows.push(['transformer.ln_f.bias', [width], 'norm', 'norm', null]);
  rows.push(['lm_head.weight', [vocabulary, width], 'head', 'head', null]);
  const tensors = tensorsOf(rows);
  for (const tensor of tensors) {
    const isMatrix = tensor.shape.length === 2;
    if (isMatrix && /c_\w+\.weight/.test(tensor.name)) tensor.transposed = true;
    if (tensor.name.includes('c_attn')) Object.assign(tensor, { row_groups: 36, grid: [8, 108], samples: 864 });
    if (tensor.name.includes('c_attn.bias')) Object.assign(tensor, { row_groups: 1, column_groups: 36, grid: [1, 108] });
    if (tensor.name.includes('attn.c_proj.weight')) Object.assign(tensor, { column_groups: 12, grid: [24, 8] });
  }
  Object.assign(tensors.at(-1)!, { tied_to: 'transformer.wte.weight', samples: 0 });
  return tensors;
}

/** Separate q, k and v, a gated MLP, norms registered last, and no biases. */
export function llama(layers: number, width: number): TensorInfo[] {
  const rows: Row[] = [['model.embed_tokens.weight', [32000, width], 'token_embedding', 'embedding', null]];
  for (let layer = 0; layer < layers; layer += 1) {
    const at = `model.layers.${layer}`;
    rows.push([`${at}.self_attn.q_proj.weight`, [width, width], 'attention_query', 'attention', layer]);
    rows.push([`${at}.self_attn.k_proj.weight`, [width / 4, width], 'attention_key', 'attention', layer]);
    rows.push([`${at}.self_attn.v_proj.weight`, [width / 4, width], 'attention_value', 'attention', layer]);
    rows.push([`${at}.self_attn.o_proj.weight`, [width, width], 'attention_projection', 'attention', layer]);
    rows.push([`${at}.mlp.gate_proj.weight`, [3 * width, width], 'mlp_gate', 'mlp', layer]);
    rows.push([`${at}.mlp.up_proj.weight`, [3 * width, width], 'mlp_up', 'mlp', layer]);
    rows.push([`${at}.mlp.down_proj.weight`, [width, 3 * width], 'mlp_down', 'mlp', layer]);
    rows.push([`${at}.input_layernorm.weight`, [width], 'norm', 'norm', layer]);
    rows.push([`${at}.post_attention_layernorm.weight`, [width], 'norm', 'norm', layer]);
  }
  rows.push(['model.norm.weight', [width], 'norm', 'norm', null]);
  rows.push(['lm_head.weight', [32000, width], 'head', 'head', null]);
  return tensorsOf(rows);
}

/** A convolutional network without roles or layers of a transformer. */
export function convolutional(blocks: number): TensorInfo[] {
  const rows: Row[] = [];
  for (let block = 0; block < blocks; block += 1) {
    rows.push([`stage${block >> 2}.${block & 3}.conv.weight`, [64, 32, 3, 3], 'conv', 'other', null]);
    rows.push([`stage${block >> 2}.${block & 3}.conv.bias`, [64], 'bias', 'other', null]);
    rows.push([`stage${block >> 2}.${block & 3}.bn.weight`, [64], 'norm', 'norm', null]);
  }
  rows.push(['fc.weight', [1000, 512], 'other', 'other', null]);
  return tensorsOf(rows);
}

/** Many experts in each layer. */
export function experts(layers: number, perLayer: number): TensorInfo[] {
  const rows: Row[] = [['embed.weight', [1000, 256], 'token_embedding', 'embedding', null]];
  for (let layer = 0; layer < layers; layer += 1) {
    rows.push([`layers.${layer}.attn.qkv.weight`, [768, 256], 'attention_qkv', 'attention', layer]);
    for (let expert = 0; expert < perLayer; expert += 1) {
      rows.push([`layers.${layer}.experts.${expert}.up.weight`, [512, 256], 'mlp_up', 'mlp', layer]);
      rows.push([`layers.${layer}.experts.${expert}.down.weight`, [256, 512], 'mlp_down', 'mlp', layer]);
    }
  }
  return tensorsOf(rows);
}

/** A row of `catalogues.json`, as tests/viewer/catalogues.py writes it. */
type Recorded = [
  ...[name: string, shape: number[], role: string, block: Block, layer: number | null, tiedTo: string | null],
  ...[samples: number, grid: [number, number], array: TensorInfo['array']],
  ...[rowGroups: number, columnGroups: number, transposed: 0 | 1],
];

/** Names of the models whose real catalogues are kept. */
export const RECORDED = Object.keys(catalogues);

/** The catalogue of a real model, recorded. */
export function recorded(model: string): TensorInfo[] {
  const rows = (catalogues as unknown as Record<string, Recorded[]>)[model]!;
  return rows.map((row, index) => ({
    ...tensorsOf([[row[0], row[1], row[2], row[3], row[4]]])[0]!,
    ...{ index, tied_to: row[5], samples: row[6], grid: row[7], array: row[8] },
    ...{ row_groups: row[9], column_groups: row[10], transposed: row[11] === 1 },
  }));
}
