import { expect, test } from 'vitest';
import { layoutModel } from '../src/layout/architecture';
import { overlaps, rectOf } from '../src/layout/boxes';
import { axesOf, dimensionMarks, DIMENSION_HUES, sizesOf } from '../src/layout/dimensions';
import { gpt2, recorded } from './models';

function texts(tensors: ReturnType<typeof gpt2>, name: string): (string | null)[] {
  const { rows, columns } = axesOf(tensors.find((tensor) => tensor.name === name)!, sizesOf(tensors));
  return [rows?.text ?? null, columns.text];
}

test("GPT-2's axes have their names, rows and columns as they are stored", () => {
  const tensors = recorded('GPT-2');
  const at = (name: string) => texts(tensors, `transformer.${name}`);
  expect(at('wte.weight')).toEqual(['vocabulary 50,257', 'd_model 768']);
  expect(at('wpe.weight')).toEqual(['positions 1,024', 'd_model 768']);
  expect(at('h.0.attn.c_attn.weight')).toEqual(['d_model 768', 'heads 12 × 64']);
  expect(at('h.0.attn.c_attn.bias')).toEqual([null, 'heads 12 × 64']);
  expect(at('h.0.attn.c_proj.weight')).toEqual(['heads 12 × 64', 'd_model 768']);
  expect(at('h.0.mlp.c_fc.weight')).toEqual(['d_model 768', '4 × d_model 3,072']);
  expect(at('h.0.mlp.c_proj.weight')).toEqual(['4 × d_model 3,072', 'd_model 768']);
  expect(at('h.0.ln_1.weight')).toEqual([null, 'd_model 768']);
});

test('grouped keys, experts and kernels have their names', () => {
  const llama = recorded('Llama');
  expect(texts(llama, 'model.layers.0.self_attn.k_proj.weight')).toEqual(['key heads 8 × 64', 'd_model 2,048']);
  expect(texts(llama, 'model.layers.0.mlp.up_proj.weight')).toEqual(['4 × d_model 8,192', 'd_model 2,048']);
  const mixtral = recorded('Mixtral');
  const experts = mixtral.find((tensor) => tensor.role === 'expert')!;
  expect(texts(mixtral, experts.name)).toEqual(['experts 16', '8,192 × 2,048']);
  const kernels = recorded('convolutions');
  expect(texts(kernels, 'features.0.weight')).toEqual(['channels out 16', 'channels in 3, kernel 5 × 5']);
  expect(texts(kernels, 'classifier.weight')).toEqual(['classes 10', 'inputs 8']);
});

test('one dimension has one hue wherever it stands', () => {
  const tensors = recorded('GPT-2');
  const sizes = sizesOf(tensors);
  const hues = new Map<string, Set<string>>();
  const layout = layoutModel(tensors, { aspect: 1.6, cloud: false });
  for (const box of layout.boxes) {
    for (const { text, hue } of dimensionMarks(layout.boxes, box, tensors[box.tensor]!, sizes).labels) {
      hues.set(text, (hues.get(text) ?? new Set()).add(hue!.join()));
    }
  }
  expect(hues.size).toBeGreaterThan(4);
  expect([...hues.values()].every((set) => set.size === 1)).toBe(true);
  expect(new Set(Object.values(DIMENSION_HUES).map((hue) => hue.join())).size).toBe(8);
});

test('brackets are as long as the side they name and lie over no plate', () => {
  for (const model of ['GPT-2', 'Llama', 'T5', 'ResNet']) {
    const tensors = recorded(model);
    const layout = layoutModel(tensors, { aspect: 1.6, cloud: false });
    const sizes = sizesOf(tensors);
    const plates = layout.boxes.flatMap((box) => (box.slices ?? [box]).map(rectOf));
    for (const box of layout.boxes) {
      const marks = dimensionMarks(layout.boxes, box, tensors[box.tensor]!, sizes);
      expect(marks.labels.length).toBeGreaterThan(0);
      const first = box.slices && box.slices[0]!.label !== '' ? box.slices[0]! : box;
      for (const { points } of marks.lines) {
        const [, [x1, y1], [x2, y2]] = points as [number, number][] as [[number, number], [number, number], [number, number]];
        expect(Math.abs(x1 - x2) + Math.abs(y1 - y2)).toBeCloseTo(y1 === y2 ? first.width : first.height);
        const strip = {
          ...{ left: Math.min(x1, x2) - 0.01, right: Math.max(x1, x2) + 0.01 },
          ...{ bottom: Math.min(y1, y2) - 0.01, top: Math.max(y1, y2) + 0.01 },
        };
        if (plates.some((plate) => overlaps(plate, strip))) expect([model, tensors[box.tensor]!.name]).toBe('clear');
      }
    }
  }
});
