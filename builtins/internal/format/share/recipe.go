package share

// Recipe is how custodians combine their shares without runner: Python 3 with its
// standard library, short enough to be read before it is trusted. It prints the
// age identity.
const Recipe = `#!/usr/bin/env python3
"""Combine shares without runner:  python3 combine.py SHAREFILE SHAREFILE ...  > identity.txt

Every file holds one line that begins with runner-share1. What comes out is an age
identity: do this on a machine without a network, and destroy identity.txt after use.
"""
import hashlib, sys

def mul(a, b):  # in GF(2^8), x^8 + x^4 + x^3 + x + 1
    p = 0
    for _ in range(8):
        if b & 1:
            p ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return p

def inverse(a):
    return next(b for b in range(1, 256) if mul(a, b) == 1)

shares, kinds = {}, set()
for path in sys.argv[1:]:
    text = "".join(open(path).read().lower().split())
    body, _, checksum = text.rpartition("-")
    if hashlib.sha256(body.encode()).hexdigest()[:8] != checksum:
        sys.exit(path + ": its checksum is wrong: copied with a mistake, or cut")
    name, version, of, m, n, x, y = body.split("-")
    if name + "-" + version != "runner-share1":
        sys.exit(path + ": not a share of this form")
    kinds.add((of, m, n, len(y)))
    shares[int(x)] = bytes.fromhex(y)
if len(kinds) != 1:
    sys.exit("the shares are of different sets")
need = int(kinds.pop()[1])
if len(shares) < need:
    sys.exit("there are %d different shares, and %d are needed" % (len(shares), need))
points = list(shares.items())[:need]
secret = bytearray(len(points[0][1]))
for x, y in points:
    factor = 1
    for other, _ in points:
        if other != x:
            factor = mul(factor, mul(other, inverse(other ^ x)))
    for k, value in enumerate(y):
        secret[k] ^= mul(factor, value)
if not secret.startswith(b"AGE-SECRET-KEY-"):
    sys.exit("one of the shares is false: what they give is not an age identity")
print(secret.decode())
`
