/** Times as the person's own language and clock say them. */
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export function day(rfc3339: string): string {
  return DAY.format(new Date(rfc3339));
}

export function moment(rfc3339: string): string {
  return MOMENT.format(new Date(rfc3339));
}
