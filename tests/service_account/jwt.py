"""JSON Web Tokens over P-256 by nothing but arithmetic: a judge of tokens that shares no code with their maker.

  jwt.py verify TOKEN < JWKS              prints the claims, or fails
  jwt.py sign KEY-FILE HEADER < CLAIMS    prints a token; KID in the header stands for the key's own id
  jwt.py mac JWKS-FILE HEADER < CLAIMS    prints a token whose HMAC key is the public key
"""
import base64, hashlib, hmac, json, secrets, sys

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
# The SubjectPublicKeyInfo of an uncompressed point of P-256, up to the point.
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(k, point):
    out = None
    while k:
        if k & 1:
            out = add(out, point)
        point, k = add(point, point), k >> 1
    return out


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(data):
    return int.from_bytes(data, "big")


def hashed(text):
    return number(hashlib.sha256(text.encode()).digest())


def verify(token, keys):
    header, claims, signature = token.split(".")
    told, signature = json.loads(decoded(header)), decoded(signature)
    assert told["alg"] == "ES256" and len(signature) == 64, told
    key = next(key for key in keys["keys"] if key["kid"] == told["kid"])
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig"), key
    point = number(decoded(key["x"])), number(decoded(key["y"]))
    assert (point[1] ** 2 - point[0] ** 3 + 3 * point[0] - B) % P == 0, "the key is no point of the curve"
    r, s = number(signature[:32]), number(signature[32:])
    assert 0 < r < N and 0 < s < N
    inverse = pow(s, -1, N)
    found = add(times(hashed(f"{header}.{claims}") * inverse % N, G), times(r * inverse % N, point))
    assert found and found[0] % N == r, "the signature is not of this key"
    return json.loads(decoded(claims))


def private(path):
    lines = [line for line in open(path).read().splitlines() if line and not line.startswith("-")]
    der = base64.b64decode("".join(lines))
    # PrivateKeyInfo holds an ECPrivateKey: version 1, then 32 bytes.
    at = der.index(bytes.fromhex("0201010420")) + 5
    return number(der[at:at + 32])


def sign(key, header, claims):
    point = times(key, G)
    public = b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")
    if header.get("kid") == "KID":
        header["kid"] = encoded(hashlib.sha256(SPKI + public).digest())
    text = f"{encoded(json.dumps(header).encode())}.{encoded(claims)}"
    nonce = secrets.randbelow(N - 1) + 1
    r = times(nonce, G)[0] % N
    s = (hashed(text) + r * key) * pow(nonce, -1, N) % N
    return f"{text}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def mac(keys, header, claims):
    key = keys["keys"][0]
    public = SPKI + b"\x04" + decoded(key["x"]) + decoded(key["y"])
    text = f"{encoded(json.dumps(header).encode())}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.digest(public, text.encode(), 'sha256'))}"


if sys.argv[1] == "verify":
    print(json.dumps(verify(sys.argv[2], json.load(sys.stdin))))
elif sys.argv[1] == "sign":
    print(sign(private(sys.argv[2]), json.loads(sys.argv[3]), sys.stdin.buffer.read()))
elif sys.argv[1] == "mac":
    print(mac(json.load(open(sys.argv[2])), json.loads(sys.argv[3]), sys.stdin.buffer.read()))
else:
    sys.exit(__doc__)
