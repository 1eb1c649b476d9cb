/** The shapes of docs/HTTP.md, as the page sees them. Units stand in the names. */

export type RunStatus = 'recording' | 'finished' | 'crashed';

export type Block = 'embedding' | 'attention' | 'mlp' | 'norm' | 'head' | 'other';

export interface RunSummary {
  id: string;
  name: string;
  /** A sentence when the run cannot be opened; then the other fields are missing. */
  error: string | null;
  /** Name of its folder or file: copies of a run have the same name. */
  place?: string;
  /** Why an opened run cannot be followed at the moment. */
  problem?: Problem | null;
  status?: RunStatus;
  created_unix_s?: number;
  snapshots?: number;
  last_iteration?: number | null;
}

export interface RunEvent {
  iteration: number;
  kind: string;
  text: string;
}

export interface EmbeddingInfo {
  tensor: string;
  tokens: number;
  vocabulary_size: number;
  width: number;
  /** The iteration whose rows give the recommended projection. */
  basis: number | null;
  has_vocabulary: boolean;
}

export interface RunInfo {
  id: string;
  run_id: string;
  name: string;
  format: string;
  status: RunStatus;
  created_unix_s: number;
  age_s: number;
  description: Record<string, unknown>;
  cursor: string;
  plan: number | null;
  statistics: string[];
  gradient_statistics: string[];
  iterations: number[];
  events: RunEvent[];
  scalar_names: string[];
  embedding: EmbeddingInfo | null;
  problem: Problem | null;
}

export interface TensorInfo {
  index: number;
  name: string;
  shape: number[];
  dtype: string;
  role: string;
  layer: number | null;
  block: Block;
  tied_to: string | null;
  frozen: boolean;
  samples: number;
  skipped: string | null;
  /** [R, C]: the samples are R rows of C columns, row-major. */
  grid: [number, number];
  array: 'values' | 'vectors';
  offset: number;
  /** Equal parts of the (out, in) axes: heads, three times as many with Q, K and V in one; experts. */
  row_groups: number;
  column_groups: number;
  /** Stored as (in, out). */
  transposed: boolean;
}

/** A plan as the server tells it. */
export interface Catalogue {
  number: number;
  /** samples in all; the last `frozen_values` and `frozen_vectors` of them are in no snapshot */
  values: number;
  vectors: number;
  frozen_values: number;
  frozen_vectors: number;
  tensors: TensorInfo[];
  embedding_tokens: number[] | null;
  /** where tensors lie in the packed arrays of further parts */
  places: Places;
  neighbour_tokens: number[] | null;
}

/** [tensor, offset, count], in their order in the packed array. */
export type Place = [tensor: number, offset: number, count: number];

export interface Places {
  cells: Place[];
  rows: Place[];
  columns: Place[];
  heads: Place[];
}

/** Samples of tensors that do not change under a plan. */
export interface FrozenSamples {
  /** float16 bit patterns */
  values: Uint16Array;
  vectors: Float32Array;
}

export interface Plan extends Catalogue {
  /** null where they are damaged */
  frozen: FrozenSamples | null;
}

/** Flat positions of the samples in their whole tensors, one number each. */
export interface Positions {
  values: Float64Array;
  vectors: Float64Array;
}

export interface FrameEmbedding {
  tensor: string;
  basis: number;
  /** False where the coordinates were turned from stored scores. */
  exact: boolean;
  /** tokens × 3 */
  coordinates: Float32Array;
  /** tokens */
  magnitude: Float32Array;
  explained: number[];
}

export interface GradientState {
  default: string;
  exceptions: Record<string, string>;
  reason: string;
}

/** One snapshot, decoded. A part that was not recorded is null. */
export interface Frame {
  iteration: number;
  plan: number;
  tier: string;
  time_unix_s: number;
  scalars: Record<string, number>;
  events: { kind: string; text: string }[];
  gradient_state: GradientState;
  /** float16 bit patterns */
  values: Uint16Array | null;
  vectors: Float32Array | null;
  /** tensors × statistics */
  statistics: Float32Array | null;
  /** tensors × gradient statistics; NaN rows where there was no gradient */
  gradient_statistics: Float32Array | null;
  embedding: FrameEmbedding | null;
}

export type ErrorKind =
  | 'usage'
  | 'forbidden'
  | 'absent'
  | 'damaged'
  | 'unreachable'
  | 'busy'
  | 'internal'
  | 'network'
  | 'protocol';

/** Why something was refused. `key` names the file inside the run, where it is one. */
export interface Problem {
  kind: ErrorKind;
  message: string;
  key?: string;
}

/** Why a frame is not there; `iteration` says which. */
export interface FrameFailure {
  iteration: number;
  error: { kind: ErrorKind; message: string; key: string };
}

export type FrameResult = Frame | FrameFailure;

export function isFailure(result: FrameResult): result is FrameFailure {
  return 'error' in result;
}

/** A scalar or a statistic over iterations, ascending. */
export interface Series {
  iterations: Float64Array;
  values: Float64Array;
}

/** What the tail says of a run that it cannot follow; without an error, that it can again. */
export interface TailProblem {
  run: string;
  error: Problem | null;
}

/** One answer of the poll: what is new, and every run that cannot be followed now. */
export interface TailNews {
  updates: TailUpdate[];
  problems: TailProblem[];
}

/** One message of the tail: only what is newer than the cursor. */
export interface TailUpdate {
  run: string;
  cursor: string;
  status: RunStatus;
  age_s: number;
  iterations: number[];
  plan: number | null;
  basis: number | null;
  scalars: [number, Record<string, number>][];
  events: RunEvent[];
  committed_unix_s: number | null;
}
