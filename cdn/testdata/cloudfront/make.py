# Makes vectors.json with botocore's CloudFrontSigner over Python's cryptography, SHA-256: python3 make.py. What npm makes of the same: make.mjs.
import datetime, json
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

key = serialization.load_pem_private_key(open("pkcs8.pem", "rb").read(), None)
signer = CloudFrontSigner("K2JCJMDEHXQW5F", lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
at = lambda s: datetime.datetime.fromtimestamp(s, datetime.timezone.utc)
until, begin = 1795478399, 1795474799
canned = ["https://d1.cloudfront.net/vod/1/master.m3u8", "https://d1.cloudfront.net/vod/1/a.jpg?size=large&x=1"]
out = {"canned": [{"url": u, "until": until, "signed": signer.generate_presigned_url(u, date_less_than=at(until))} for u in canned], "custom": []}
for url, resource, start, network in [
    ("https://d1.cloudfront.net/vod/1/v0/1.m4s", "https://d1.cloudfront.net/vod/1/*", None, None),
    ("https://d1.cloudfront.net/vod/1/v0/1.m4s?q=1", "https://d1.cloudfront.net/vod/1/*", begin, "192.0.2.0/24"),
    ("https://d1.cloudfront.net/vod/1/v0/1.m4s", "http*://*/vod/1/*", begin, "192.0.2.7"),
]:
    policy = signer.build_policy(resource, at(until), date_greater_than=at(start) if start else None, ip_address=network)
    out["custom"].append({"url": url, "resource": resource, "until": until, "from": start, "network": network, "policy": policy,
                          "signed": signer.generate_presigned_url(url, policy=policy)})
json.dump(out, open("vectors.json", "w"), indent=1)
