"""What the benchmarks share: the throwaway world, the daemon in it, its API over
the socket, and the table at the end. Imported by scripts/bench and its siblings.
"""
import http.client, json, os, platform, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ["PATH"] += ":/usr/sbin:/sbin"
READY_SECONDS_MAX = 30
rows = []


def fail(why):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {why}")


def enter_world(keep_root=False):
    """Outside: builds the release binary, runs the script again inside the world
    and ends. Inside: answers the binary and a directory for state. With `keep_root`
    root gets no user namespace: in one the kernel allows small transactions only."""
    if "--inside" in sys.argv:
        at = sys.argv.index("--inside")
        return sys.argv[at + 1], sys.argv[at + 2]
    built = subprocess.run([f"{ROOT}/scripts/build-release"], stdout=subprocess.PIPE, text=True)
    if built.returncode:
        fail("no release binary")
    state = tempfile.mkdtemp(prefix="edgesvc-bench.", dir="/tmp")
    user = [] if keep_root and os.geteuid() == 0 else ["--user", "--map-root-user"]
    try:
        sys.exit(subprocess.run(
            ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
             '. "$1/tests/support/world.sh"; shift; exec python3 "$@"', "sh", ROOT, os.path.abspath(sys.argv[0]),
             "--inside", built.stdout.splitlines()[0], state, *sys.argv[1:]]).returncode)
    finally:
        shutil.rmtree(state, ignore_errors=True)


def row(what, figure):
    rows.append((what, figure))
    print(f"  {what}: {figure}", file=sys.stderr, flush=True)


def cpu_model():
    text = open("/proc/cpuinfo").read()
    found = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.*)$", text, re.M)
    return found.group(1) if found else platform.machine()


def print_table(binary):
    version = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f"\n{version}; {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}, {platform.machine()}; "
          f"{time.strftime('%Y-%m-%d', time.gmtime())}\n\n| what | measured |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


# The daemon closes what asks nothing for longer.
IDLE_SECONDS_MAX = 15


class Api(http.client.HTTPConnection):
    """One connection to the daemon's socket."""

    def __init__(self, home):
        super().__init__("localhost")
        self.path = f"{home}/run/edgesvc.sock"
        self.used = time.monotonic()

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def ask(self, method, url, body=None, kind="application/json"):
        if time.monotonic() - self.used > IDLE_SECONDS_MAX:
            self.close()
        self.used = time.monotonic()
        self.request(method, url, body and json.dumps(body), {"Content-Type": kind})
        answer = self.getresponse()
        text = answer.read()
        if answer.status >= 300:
            fail(f"{method} {url}: {answer.status} {text[:400]!r}")
        return json.loads(text)


class Daemon:
    def __init__(self, binary, state, name="main"):
        self.binary = binary
        self.home = f"{state}/{name}"
        self.log = f"{self.home}.log"
        os.makedirs(self.home, exist_ok=True)

    def spawn(self):
        self.process = subprocess.Popen(
            [self.binary, "run", "--data-dir", f"{self.home}/data", "--run-dir", f"{self.home}/run"],
            stderr=open(self.log, "w"))

    def start(self):
        self.spawn()
        end = time.monotonic() + READY_SECONDS_MAX
        while not re.search(r"^ready", open(self.log).read(), re.M):
            if time.monotonic() > end or self.process.poll() is not None:
                fail(f"edgesvc is not ready:\n{open(self.log).read()}")
            time.sleep(0.002)
        self.api = Api(self.home)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def cleanup(self):
        subprocess.run([self.binary, "dataplane", "cleanup"], check=True, stdout=subprocess.DEVNULL)

    def proc(self, file, key):
        for line in open(f"/proc/{self.outer()}/{file}"):
            if line.startswith(key):
                return int(line.split()[1])
        fail(f"no {key} in /proc/.../{file}")

    def outer(self):
        """Our /proc is the outer one: find the daemon by its inner id and its program."""
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                status = open(f"/proc/{entry}/status").read()
                if os.readlink(f"/proc/{entry}/exe") == self.binary and \
                        re.search(rf"^NSpid:.*\t{self.process.pid}$", status, re.M):
                    return entry
            except OSError:
                continue
        fail("the daemon is not in /proc")


SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def service(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "t", "port": 80}]}}


def slice_of(name, addresses):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
            "ports": [{"name": "t", "port": 8080}], "endpoints": [{"addresses": [a]} for a in addresses]}


def fill(daemon, first, last, clients=8):
    """Creates Services with two endpoints each; Services acknowledged per second."""
    names, lock = iter(range(first, last)), threading.Lock()
    failed = []

    def work():
        try:
            api = Api(daemon.home)
            while True:
                with lock:
                    n = next(names, None)
                if n is None:
                    return
                api.ask("POST", SERVICES, service(f"s{n}"))
                api.ask("POST", SLICES, slice_of(f"s{n}", ["10.9.0.11", "10.9.0.12"]))
        except BaseException as error:  # a thread's exit would go unseen
            failed.append(error)

    begun = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    if failed:
        fail(failed[0])
    return 2 * (last - first) / (time.monotonic() - begun)


def serve(place):
    """A TCP server that says its name and closes."""
    program = ("import socket,sys\ns=socket.socket();s.setsockopt(1,2,1);s.bind(('',8080));s.listen(1024)\n"
               "while True:\n c,_=s.accept();c.sendall(sys.argv[1].encode());c.close()")
    subprocess.Popen(["nsenter", f"--net=/run/netns/{place}", "python3", "-c", program, place])


def who(address, port=80):
    try:
        with socket.create_connection((address, port), timeout=1) as s:
            return s.recv(64).decode()
    except OSError:
        return ""


def change_latency(daemon, probe, samples):
    """From the acknowledged write to the first connection that follows it."""
    measured = []
    for n in range(samples):
        address, name = (("10.9.0.11", "backend1"), ("10.9.0.12", "backend2"))[n % 2]
        patch = {"endpoints": [{"addresses": [address]}]}
        daemon.api.ask("PATCH", f"{SLICES}/probe", patch, "application/merge-patch+json")
        acknowledged = time.monotonic()
        until(10, lambda: who(probe) == name, f"the probe Service moves to {name}")
        measured.append(time.monotonic() - acknowledged)
    return percentiles(measured)


def until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            fail(f"not within {seconds} s: {what}")


def percentiles(samples):
    samples = sorted(samples)
    pick = lambda q: samples[min(len(samples) - 1, int(q * len(samples)))]
    return f"p50 {pick(.5) * 1000:.2f} ms, p99 {pick(.99) * 1000:.2f} ms"
