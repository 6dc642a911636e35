/** The state that every form has: busy, what the server said to the whole of it, and what to each field. */
import { tick } from 'svelte';
import { explain, Problem } from './client';

export class Form {
  busy = $state(false);
  /** What went wrong with the whole. */
  trouble = $state('');
  /** What went well. */
  done = $state('');
  fields = $state.raw<Readonly<Record<string, string>>>({});

  /** Runs `task` unless one runs already; true when it went well. What the server says of fields is shown beside them. */
  async run(task: () => Promise<void>, known: (problem: Problem) => boolean = () => false): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.trouble = this.done = '';
    this.fields = {};
    try {
      await task();
      return true;
    } catch (error) {
      if (error instanceof Problem && known(error)) return false;
      if (!(error instanceof Problem)) console.error(error);
      this.fields = error instanceof Problem ? error.fields : {};
      // Beside the fields there is nothing more to say.
      if (Object.keys(this.fields).length === 0) this.trouble = explain(error);
      return false;
    } finally {
      this.busy = false;
      await tick();
      document.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
    }
  }
}
