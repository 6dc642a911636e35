// What npm's @aws-sdk/cloudfront-signer makes of the same: node make.mjs > npm.json
import { readFileSync } from 'node:fs';
import { getSignedUrl, getSignedCookies } from '@aws-sdk/cloudfront-signer';
const given = JSON.parse(readFileSync('vectors.json'));
const common = { keyPairId: 'K2JCJMDEHXQW5F', privateKey: readFileSync('pkcs8.pem', 'utf8'), algorithm: 'SHA256' };
console.log(JSON.stringify({
  canned: given.canned.map(({ url, until }) => getSignedUrl({ ...common, url, dateLessThan: new Date(until * 1000) })),
  custom: given.custom.map(({ url, policy }) => getSignedUrl({ ...common, url, policy })),
  cookies: given.custom.map(({ policy }) => getSignedCookies({ ...common, policy })),
}, null, 1));
