"""A neighbour on the wire, of the tests' own: asks, listens, contradicts, floods.

client.py LINK listen                     every packet of the group
client.py LINK ask QUERY                  the same, after a query; QUERY is JSON:
    {"questions": [[NAME, TYPE]], "unicast": false, "known": [[NAME, TYPE, TTL, DATA]], "legacy": false, "family": 4}
client.py LINK own NAME ADDRESS           says that a name is at an address to whoever asks
client.py LINK flood SECONDS              rubbish, and bent packets

Prints one JSON object a packet, with the name and the data of records as text.
"""
import json, os, random, socket, struct, sys, time

PORT, GROUPS = 5353, {4: "224.0.0.251", 6: "ff02::fb"}
TYPES = {"A": 1, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33, "NSEC": 47, "ANY": 255}
NAMES = {number: name for name, number in TYPES.items()}

def encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"

def decode(packet, at):
    labels, end, jumps = [], None, 0
    while packet[at]:
        if packet[at] >= 0xC0:
            end, jumps = end or at + 2, jumps + 1
            assert jumps < 50, "a loop"
            at = struct.unpack_from("!H", packet, at)[0] & 0x3FFF
        else:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
    return ".".join(labels), end or at + 1

def data_of(packet, kind, at, length):
    raw = packet[at:at + length]
    if kind == 1:
        return socket.inet_ntop(socket.AF_INET, raw)
    if kind == 28:
        return socket.inet_ntop(socket.AF_INET6, raw)
    if kind == 12:
        return decode(packet, at)[0]
    if kind == 33:
        return "%d %d %d %s" % (*struct.unpack_from("!HHH", packet, at), decode(packet, at + 6)[0])
    return raw.hex()

def read(packet):
    ident, flags, *counts = struct.unpack_from("!6H", packet)
    at, sections = 12, []
    questions = []
    for _ in range(counts[0]):
        name, at = decode(packet, at)
        kind, _ = struct.unpack_from("!HH", packet, at)
        questions.append([name, NAMES.get(kind, kind)])
        at += 4
    for count in counts[1:]:
        records = []
        for _ in range(count):
            name, at = decode(packet, at)
            kind, cls, ttl, length = struct.unpack_from("!HHIH", packet, at)
            at += 10
            records.append({"name": name, "type": NAMES.get(kind, str(kind)), "flush": cls >= 0x8000, "ttl": ttl,
                "data": data_of(packet, kind, at, length)})
            at += length
        sections.append(records)
    assert at == len(packet), "more than it says"
    return {"id": ident, "response": flags >= 0x8000, "questions": questions, "answers": sections[0],
        "authorities": sections[1], "additionals": sections[2]}

def record(name, kind, ttl, data, flush=0):
    raw = socket.inet_pton(socket.AF_INET, data) if kind == "A" else encode(data)
    return encode(name) + struct.pack("!HHIH", TYPES[kind], 1 | flush, ttl, len(raw)) + raw

def query(asked):
    questions, known = asked["questions"], asked.get("known", [])
    bytes_ = struct.pack("!6H", 0x1234 if asked.get("legacy") else 0, 0, len(questions), len(known), 0, 0)
    for name, kind in questions:
        bytes_ += encode(name) + struct.pack("!HH", TYPES[kind], 0x8001 if asked.get("unicast") else 1)
    return bytes_ + b"".join(record(*one) for one in known)

def open_socket(link, family, port):
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    index = socket.if_nametoindex(link)
    s = socket.socket(kind, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == 4:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        s.bind(("", port))
        group = struct.pack("4s4si", socket.inet_aton(GROUPS[4]), b"\0\0\0\0", index)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, group)
        if port:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        return s, (GROUPS[4], PORT)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    s.bind(("::", port))
    if port:
        group = socket.inet_pton(socket.AF_INET6, GROUPS[6]) + struct.pack("@I", index)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return s, (GROUPS[6], PORT, 0, index)

def packets(s):
    while True:
        bytes_, source = s.recvfrom(9000)
        try:
            said = read(bytes_)
        except (AssertionError, IndexError, struct.error, UnicodeDecodeError):
            continue
        yield said, source

def show(s):
    for said, source in packets(s):
        print(json.dumps({**said, "from": source[0].split("%")[0]}), flush=True)

def main():
    link, verb, *rest = sys.argv[1:]
    if verb == "listen":
        s, _ = open_socket(link, int(rest[0]) if rest else 4, PORT)
        print(json.dumps({"listening": True}), flush=True)
        show(s)
    elif verb == "ask":
        asked = json.loads(rest[0])
        s, group = open_socket(link, asked.get("family", 4), 0 if asked.get("legacy") else PORT)
        s.settimeout(asked.get("seconds", 1.5))
        s.sendto(query(asked), group)
        try:
            show(s)
        except TimeoutError:
            pass
    elif verb == "own":
        s, group = open_socket(link, 4, PORT)
        print(json.dumps({"listening": True}), flush=True)
        for said, _ in packets(s):
            if any(name.lower() == rest[0] for name, _ in said["questions"]):
                answer = record(rest[0], "A", 120, rest[1], 0x8000)
                s.sendto(struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0) + answer, group)
    elif verb == "flood":
        s, group = open_socket(link, 4, PORT)
        one = query({"questions": [["shop.local", "ANY"], ["_http._tcp.local", "PTR"]],
            "known": [["_http._tcp.local", "PTR", 4500, "shop._http._tcp.local"]]})
        end, sent = time.time() + float(rest[0]), 0
        while time.time() < end:
            bytes_ = bytearray(one) if random.random() < 0.5 else bytearray(os.urandom(random.randrange(9000)))
            for _ in range(random.randrange(4)):
                if bytes_:
                    bytes_[random.randrange(len(bytes_))] = random.randrange(256)
            try:
                s.sendto(bytes(bytes_), group)
                sent += 1
            except OSError:
                pass
        print(json.dumps({"sent": sent}), flush=True)

main()
