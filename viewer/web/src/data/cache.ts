/** A least-recently-used cache bounded by bytes. */

interface Entry<V> {
  value: V;
  bytes: number;
}

export class ByteLru<V> {
  private readonly entries = new Map<string, Entry<V>>();
  private total = 0;
  private budget: number;

  constructor(budgetBytes: number) {
    this.budget = budgetBytes;
  }

  get budgetBytes(): number {
    return this.budget;
  }

  /** From now on so many bytes; what is beyond them goes at once. */
  set budgetBytes(bytes: number) {
    this.budget = bytes;
    this.trim(null);
  }

  get bytes(): number {
    return this.total;
  }

  get size(): number {
    return this.entries.size;
  }

  /** The value, now the most recently used one. */
  get(key: string): V | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.value;
  }

  /** The value, without counting as a use. */
  peek(key: string): V | undefined {
    return this.entries.get(key)?.value;
  }

  /** Keeps a value and drops the longest unused ones beyond the budget, never the new one itself. */
  set(key: string, value: V, bytes: number): void {
    this.delete(key);
    this.entries.set(key, { value, bytes });
    this.total += bytes;
    this.trim(key);
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.total -= entry.bytes;
  }

  /** `kept`: the key that stays, however large its value is. */
  private trim(kept: string | null): void {
    for (const [oldest] of this.entries) {
      if (this.total <= this.budget || oldest === kept) return;
      this.delete(oldest);
    }
  }
}
