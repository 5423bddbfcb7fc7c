# SCTP as it is on the wire, without the kernel's help: this machine's has conntrack
# for it and no sockets.
#
#   packets.py serve NAME FAMILY [mute]         answers every INIT, and says whom it saw
#   packets.py ask ADDRESS PORT SOURCE SECONDS  repeats an INIT until it is answered
import socket, struct, sys, time

SCTP, INIT, INIT_ACK, NOTE = 132, 1, 2, 0x8042
TAG = 0x1234

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF

def packet(source, to, tag, kind, text=b""):
    padded = text + b"\0" * (-len(text) % 4)
    note = struct.pack("!HH", NOTE, 4 + len(text)) + padded if text else b""
    chunk = struct.pack("!BBHIIHHI", kind, 0, 20 + len(note), TAG, 65536, 1, 1, 1) + note
    head = struct.pack("!HHI", source, to, tag)
    return head + struct.pack("<I", crc32c(head + b"\0\0\0\0" + chunk)) + chunk

def read(data, family):
    data = data[(data[0] & 15) * 4:] if family == socket.AF_INET else data
    source, to, tag = struct.unpack("!HHI", data[:8])
    right = struct.unpack("<I", data[8:12])[0] == crc32c(data[:8] + b"\0\0\0\0" + data[12:])
    text = data[36:32 + struct.unpack("!H", data[34:36])[0]].decode() if len(data) > 36 else ""
    return source, to, data[12], "right" if right else "wrong", text

def serve(name, family, mute=""):
    family = socket.AF_INET6 if family == "6" else socket.AF_INET
    s = socket.socket(family, socket.SOCK_RAW, SCTP)
    print("up", flush=True)
    while True:
        data, seen = s.recvfrom(65536)
        source, to, kind, checksum, _ = read(data, family)
        if kind == INIT and not mute:
            text = f"{name} saw {seen[0]} at {to}, checksum {checksum}"
            s.sendto(packet(to, source, TAG, INIT_ACK, text.encode()), (seen[0], 0))

def ask(address, port, source, seconds):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    port, source = int(port), int(source)
    s = socket.socket(family, socket.SOCK_RAW, SCTP)
    s.connect((address, 0))
    deadline = time.monotonic() + float(seconds)
    s.settimeout(0.3)
    while time.monotonic() < deadline:
        s.send(packet(source, port, 0, INIT))
        try:
            while True:
                got, to, kind, checksum, text = read(s.recv(65536), family)
                if kind == INIT_ACK and (got, to) == (port, source):
                    return print(f"{text}; answer of the Service, checksum {checksum}")
        except TimeoutError:
            pass
        except OSError as error:
            if float(seconds) < 5:
                return print(f"refused: {error.strerror}")
    print("nothing")

{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
