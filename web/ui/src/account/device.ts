/** What a browser calls itself, in words. Only the common ones: the rest is shown as it is. */
export function device(userAgent: string): string {
  const browser = (
    [
      [/\bEdg\//, 'Edge'],
      [/\bOPR\//, 'Opera'],
      [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
      [/\bChrom(e|ium)\/|\bHeadlessChrome\/|\bCriOS\//, 'Chrome'],
      [/\bVersion\/.*\bSafari\//, 'Safari'],
    ] as const
  ).find(([pattern]) => pattern.test(userAgent))?.[1];
  const system = (
    [
      [/\biPhone\b/, 'iPhone'],
      [/\biPad\b/, 'iPad'],
      [/\bAndroid\b/, 'Android'],
      [/\bWindows\b/, 'Windows'],
      [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
      [/\bCrOS\b/, 'ChromeOS'],
      [/\bLinux\b/, 'Linux'],
    ] as const
  ).find(([pattern]) => pattern.test(userAgent))?.[1];
  if (browser && system) return `${browser} on ${system}`;
  return browser ?? (userAgent.trim() === '' ? 'Unknown program' : userAgent);
}
