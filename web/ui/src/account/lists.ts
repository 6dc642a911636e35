/** Lists of the API come in pages. */
export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

/** All of a short list: sessions, tokens. Ends after `most` pages whatever the server says. */
export async function all<T>(page: (query: string) => Promise<Page<T>>, most = 20): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null | undefined;
  for (let number = 0; number < most; number += 1) {
    const answer = await page(cursor ? `?limit=100&cursor=${encodeURIComponent(cursor)}` : '?limit=100');
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}
