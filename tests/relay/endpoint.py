"""An endpoint of the relay's tests: a line says what the client wants."""
import hashlib, socket, struct, sys, threading

name, port = sys.argv[1], int(sys.argv[2])
listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.bind(("::", port))
listener.listen(1024)
flooded = 0


def serve(sock, seen):
    global flooded
    with sock, sock.makefile("rb") as reader:
        for line in reader:
            if line == b"who\n":
                sock.sendall(f"{name} from {seen.removeprefix('::ffff:')}\n".encode())
            elif line == b"flooded\n":
                sock.sendall(f"{flooded}\n".encode())
            elif line == b"flood\n":
                while True:
                    flooded += sock.send(b"x" * 65536)
            elif line == b"reset\n":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                reader.close()
                sock.close()
                return
            elif line == b"digest\n":
                data = reader.read()
                sock.sendall(hashlib.sha256(data).hexdigest().encode() + b"\n" + b"x" * len(data))
                return


def guarded(sock, seen):
    try:
        serve(sock, seen)
    except (OSError, ValueError):
        pass


while True:
    sock, seen = listener.accept()
    threading.Thread(target=guarded, args=(sock, seen[0]), daemon=True).start()
