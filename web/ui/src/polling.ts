/**
 * Runs `task` at once and then every `intervalMs`, one run at a time, and not at all while the page is hidden: a phone in a
 * pocket asks for nothing. Coming back to the page runs it at once. Returns the stop function. A rejected run is left to the
 * next one; `task` shows its own trouble.
 */
export function pollWhileVisible(intervalMs: number, task: (signal: AbortSignal) => Promise<void>): () => void {
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;

  const run = async (): Promise<void> => {
    clearTimeout(timer);
    if (running || document.hidden) return;
    running = true;
    try {
      await task(stop.signal);
    } catch {
      // The next run is the retry.
    }
    running = false;
    if (!stop.signal.aborted && !document.hidden) timer = setTimeout(run, intervalMs);
  };

  document.addEventListener('visibilitychange', run, { signal: stop.signal });
  void run();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}
