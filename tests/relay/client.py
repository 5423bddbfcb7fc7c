"""A client of the relay's tests: what it is to do, then host and port."""
import hashlib, os, resource, socket, sys, time

what, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
rest = sys.argv[4:]


def connect(timeout=10):
    return socket.create_connection((host, port), timeout=timeout)


def who(sock):
    """The name of the endpoint behind a connection that stays open."""
    sock.sendall(b"who\n")
    return sock.recv(100).decode().split()[0]


def heard(sock):
    """The same, or what went wrong."""
    try:
        return who(sock)
    except (OSError, IndexError) as error:
        return type(error).__name__


def attempt():
    """One short connection: the endpoint's name, or what went wrong."""
    try:
        with connect() as sock:
            return heard(sock)
    except OSError as error:
        return type(error).__name__


if what == "names":  # COUNT: one short connection after the other
    print(" ".join(attempt() for _ in range(int(rest[0]))))
elif what == "hold":  # COUNT: connections that stay open, in order, and are asked again for each line
    held = [connect() for _ in range(int(rest[0]))]
    print(" ".join(who(sock) for sock in held), flush=True)
    for _ in sys.stdin:
        print(" ".join(heard(sock) for sock in held), flush=True)
elif what == "fill":  # COUNT: as many as there is room for; then how long a refusal takes
    held, refused, slowest = [], 0, 0.0
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    for _ in range(int(rest[0])):
        begun = time.monotonic()
        try:
            sock = connect()
            who(sock)
            held.append(sock)
        except (OSError, IndexError):
            refused += 1
            slowest = max(slowest, time.monotonic() - begun)
    for sock in held:
        sock.close()
    print(len(held), refused, f"{slowest:.3f}")
elif what == "echo":  # BYTES: sends, ends its side, and only then reads
    data = os.urandom(int(rest[0]))
    sock = connect()
    sock.settimeout(30)
    sock.sendall(b"digest\n" + data)
    sock.shutdown(socket.SHUT_WR)
    answer = b""
    while chunk := sock.recv(65536):
        answer += chunk
    expected = hashlib.sha256(data).hexdigest().encode()
    head, _, tail = answer.partition(b"\n")
    print("same" if head == expected and tail == b"x" * len(data) else f"differs: {head[:80]} {len(tail)}")
elif what == "stall":  # reads nothing for a while: how much the endpoint could write
    sock = connect()
    sock.sendall(b"flood\n")
    print("stalled", flush=True)
    sys.stdin.read()
elif what == "reset":  # the endpoint breaks the connection: what the client sees
    sock = connect()
    sock.sendall(b"reset\n")
    try:
        print("end" if sock.recv(10) == b"" else "data")
    except ConnectionResetError:
        print("reset")
elif what == "udp":  # COUNT SOCKETS: datagrams from so many sockets in turn
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(int(rest[1]))]
    names = []
    for sock in socks:
        sock.connect((host, port))  # an answer from any other address is not heard
        sock.settimeout(5)
    for n in range(int(rest[0])):
        sock = socks[n % len(socks)]
        try:
            sock.send(b"x")
            names.append(sock.recv(100).decode().split()[0])
        except OSError as error:
            names.append(type(error).__name__)
    print(" ".join(names))
elif what == "session":  # datagrams of one socket: one now, and one for each line
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((host, port))
    sock.settimeout(5)
    for _ in range(1000):
        try:
            sock.send(b"x")
            print(sock.recv(100).decode().split()[0], flush=True)
        except OSError as error:
            print(type(error).__name__, flush=True)
        if not sys.stdin.readline():
            break
