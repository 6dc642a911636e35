/** The dialog that asks for the password once more, loaded when it is first needed. Several calls that need it share one. */
let asking: Promise<boolean> | null = null;

export function proveAgain(): Promise<boolean> {
  asking ??= ask().finally(() => (asking = null));
  return asking;
}

async function ask(): Promise<boolean> {
  const [{ mount, unmount }, { default: SudoDialog }] = await Promise.all([import('svelte'), import('./SudoDialog.svelte')]);
  return new Promise((resolve) => {
    const dialog = mount(SudoDialog, {
      target: document.body,
      props: {
        done: (proved: boolean) => {
          void unmount(dialog);
          resolve(proved);
        },
      },
    });
  });
}
