/** When the last frames were drawn and how long the page itself was busy with each: for benchmarks. */

const MOST = 4096;

export class DrawTimes {
  private readonly at = new Float64Array(MOST);
  private readonly busy = new Float32Array(MOST);
  private count = 0;

  note(at_ms: number, busy_ms: number): void {
    const slot = this.count % MOST;
    this.at[slot] = at_ms;
    this.busy[slot] = busy_ms;
    this.count += 1;
  }

  /** The frames drawn since a moment, oldest first; `at_ms` as performance.now() tells it. */
  since(moment_ms: number): { at_ms: number[]; busy_ms: number[] } {
    const [at_ms, busy_ms]: [number[], number[]] = [[], []];
    for (let index = Math.max(0, this.count - MOST); index < this.count; index += 1) {
      const at = this.at[index % MOST]!;
      if (at < moment_ms) continue;
      at_ms.push(at);
      busy_ms.push(this.busy[index % MOST]!);
    }
    return { at_ms, busy_ms };
  }
}
