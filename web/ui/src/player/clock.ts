/**
 * The server's clock as seen from here. EXT-X-PROGRAM-DATE-TIME is stamped with it, so "how far behind" has to be read against
 * it too: a phone whose clock is two seconds off would otherwise show a latency two seconds off.
 */
export class ServerClock {
  #offsetMs = 0;
  #bestRoundTripMs = Infinity;

  /** Milliseconds since the epoch on the server. The local clock until `/time` has answered once. */
  now(): number {
    return Date.now() + this.#offsetMs;
  }

  /**
   * Asks `/time` a few times and keeps the quickest answer: half its round trip bounds the error (Cristian's algorithm).
   * A server without `/time` leaves the local clock in use.
   */
  async synchronise(signal: AbortSignal, tries = 3): Promise<void> {
    for (let i = 0; i < tries; i++) {
      try {
        const sent = performance.now();
        const response = await fetch('/time', { signal, cache: 'no-store' });
        const received = performance.now();
        if (!response.ok) return;
        const server = Date.parse((await response.text()).trim());
        const roundTrip = received - sent;
        if (Number.isNaN(server) || roundTrip >= this.#bestRoundTripMs) continue;
        this.#bestRoundTripMs = roundTrip;
        const localAtReceipt = Date.now() - (performance.now() - received);
        this.#offsetMs = server + roundTrip / 2 - localAtReceipt;
      } catch {
        return;
      }
    }
  }
}
