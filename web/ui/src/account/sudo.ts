/** The dialog that asks who it is once more, loaded when it is first needed. Several calls that need it share one. */
let asking: Promise<boolean> | null = null;

export function proveAgain(): Promise<boolean> {
  asking ??= ask('').finally(() => (asking = null));
  return asking;
}

/** What a fresh sign-in at a provider leaves in the fragment of the page's address. */
export const ticketIn = (hash: string): string => new URLSearchParams(hash.replace(/^#/, '')).get('sudo') ?? '';

/** Shows such a ticket to the server; asks for the code of the app where one is needed. */
export const proveByTicket = (ticket: string): Promise<boolean> => ask(ticket);

async function ask(ticket: string): Promise<boolean> {
  const [{ mount, unmount }, { default: SudoDialog }] = await Promise.all([import('svelte'), import('./SudoDialog.svelte')]);
  return new Promise((resolve) => {
    const dialog = mount(SudoDialog, {
      target: document.body,
      props: {
        ticket,
        done: (proved: boolean) => {
          void unmount(dialog);
          resolve(proved);
        },
      },
    });
  });
}
