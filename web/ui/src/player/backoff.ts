/**
 * Waiting times between tries: doubling from `firstMs` up to `mostMs`, each with up to 20 % taken off at random so that the
 * viewers of one stream do not return in the same millisecond.
 */
export class Backoff {
  #tries = 0;

  constructor(
    private readonly firstMs: number,
    private readonly mostMs: number,
    private readonly random: () => number = Math.random,
  ) {}

  /** How long to wait before the next try. A server's own `Retry-After` wins, within `mostMs`. */
  next(retryAfterMs: number | null = null): number {
    const own = Math.min(this.mostMs, this.firstMs * 2 ** this.#tries);
    this.#tries = Math.min(this.#tries + 1, 16);
    const wanted = retryAfterMs === null ? own : Math.min(this.mostMs, Math.max(this.firstMs, retryAfterMs));
    return Math.round(wanted * (1 - 0.2 * this.random()));
  }

  reset(): void {
    this.#tries = 0;
  }
}
