#!/usr/bin/env python3
"""Unpacks the image and has it do the main job, without a container engine: claim a domain, publish its record in a sandbox
DNS, see it verified, stop in good order. Locked up as in production: user 65532, no capabilities, no new privileges, a root
that cannot be written to, and only the image's own files.

    try.py [RUNTIME]       an OCI runtime, runc by default; as root, which the container is not

With DEED__STORE__URL and DEED__BUS__URL set (`services run --dev -- try.py`), each role runs in a container of its own, and
finds the two by names that it has to look up.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LAYOUT = ROOT / "target" / "image" / "oci"
USER = 65532
DOMAIN = "acme.test"
PATIENCE = 60


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wait_for(what, look):
    """Until `look` gives something, or the time is up."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {PATIENCE} s")
        time.sleep(0.02)


def request(method, url, key=None, body=None):
    """Status and body; none while nobody listens."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except urllib.error.URLError:
        return None, b""


class Containers:
    """Containers made of the image, in the network of this machine."""

    def __init__(self, runtime, folder):
        self.runtime, self.folder, self.running = runtime, folder, {}
        self.bundle = folder / "bundle"
        subprocess.run(["umoci", "unpack", "--image", f"{LAYOUT}:latest", self.bundle], check=True, capture_output=True)
        self.data = folder / "data"
        self.data.mkdir()
        os.chown(self.data, USER, USER)

    def command(self, *arguments):
        manager = ["--cgroup-manager=disabled"] if self.runtime == "crun" else []
        return [self.runtime, "--root", self.folder / "state", *manager, *arguments]

    def configure(self, called, arguments, variables, files):
        """A bundle of its own on the same files."""
        config = json.loads((self.bundle / "config.json").read_text())
        process = config["process"]
        process["terminal"] = False
        process["capabilities"] = {kind: [] for kind in process["capabilities"]}
        process["noNewPrivileges"] = True
        process["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 4096}]
        process["args"] = process["args"][:1] + (arguments or process["args"][1:])
        process["env"] += [f"{name}={value}" for name, value in variables.items()]
        config["root"] = {"path": str(self.bundle / "rootfs"), "readonly": True}
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
        config["linux"].pop("resources", None)
        places = {"/var/lib/deed": (self.data, "rw")} | {inside: (outside, "ro") for inside, outside in files.items()}
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/sys/fs/cgroup"]
        for inside, (outside, mode) in places.items():
            config["mounts"].append({"destination": inside, "type": "bind", "source": str(outside), "options": ["bind", mode]})
            if outside.is_file():
                # A place to mount on; an engine makes it as well.
                (self.bundle / "rootfs" / inside.lstrip("/")).touch()
        bundle = self.folder / called
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def start(self, called, arguments, variables, files):
        bundle = self.configure(called, arguments, variables, files)
        with open(self.folder / f"{called}.log", "w") as log:
            child = subprocess.Popen(self.command("run", "--bundle", bundle, called), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running[called] = child

    def execute(self, called, *arguments):
        """A command within a running container, as `kubectl exec` does it."""
        done = subprocess.run(self.command("exec", called, *arguments), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def stop(self, called):
        """SIGTERM; the code that it ends with."""
        subprocess.run(self.command("kill", called, "TERM"), check=True)
        return self.running.pop(called).wait(PATIENCE)

    def close(self):
        """Whatever runs yet, after something went wrong."""
        for called, child in self.running.items():
            print((self.folder / f"{called}.log").read_text(), file=sys.stderr)
            if child.poll() is None:
                subprocess.run(self.command("kill", called, "KILL"), capture_output=True)
                child.wait()


@contextlib.contextmanager
def sandbox(folder, program):
    """`deed dev`, for its DNS alone: where it is and what its configuration says of it."""
    # Port 53, so that the C library of a container can ask it for names.
    asked = ["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--control-listen=127.0.0.1:0", "--dns-listen=127.0.0.99:53"]
    with open(folder / "dev.json", "w") as told, open(folder / "dev.log", "w") as log:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DEED__")}
        child = subprocess.Popen([program, "dev", "--json", *asked], stdout=told, stderr=log, env=clean)
    try:
        text = wait_for("the sandbox", lambda: (folder / "dev.json").read_text() if (folder / "dev.json").stat().st_size else None)
        yield json.loads(text)
    finally:
        child.terminate()
        child.wait(PATIENCE)


def prison(containers, called):
    """What the kernel says of the process in a container."""
    state = json.loads(subprocess.run(containers.command("state", called), capture_output=True, check=True).stdout)
    told = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{state['pid']}/status").read_text().splitlines() if ":\t" in line)
    seen = {key: told[key] for key in ("Uid", "CapEff", "CapBnd", "NoNewPrivs")}
    mounts = pathlib.Path(f"/proc/{state['pid']}/mounts").read_text().splitlines()
    root = next(line.split()[3] for line in mounts if line.split()[1] == "/")
    if seen["Uid"].split()[0] != str(USER) or int(seen["CapEff"], 16) or int(seen["CapBnd"], 16) or seen["NoNewPrivs"] != "1" or not root.startswith("ro"):
        raise SystemExit(f"not locked up: {seen}, root {root}")
    return f"user {USER}, no capabilities, root read-only"


def main():
    runtime = sys.argv[1] if len(sys.argv) > 1 else "runc"
    if not LAYOUT.is_dir():
        raise SystemExit("there is no image: `make image` makes it")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="deed-image-"))
    containers = Containers(runtime, folder)
    try:
        program = containers.bundle / "rootfs" / "usr" / "bin" / "deed"
        with sandbox(folder, program) as dev:
            work(containers, folder, program, dev)
    finally:
        containers.close()
        shutil.rmtree(folder)


def work(containers, folder, program, dev):
    variables = {
        "DEED__DNS__PORT": "53",
        "DEED__DNS__ROOTS": "/etc/deed/root.hints",
        "DEED__DNS__ALLOW_NETWORKS": "127.0.0.99",
        "DEED__DNS__DELEGATION_CACHE_TTL": "0s",
        "DEED__NAMES__ALLOW_SPECIAL_USE": "true",
        "DEED__POLICY__WATCH_FIRST": "1s",
        "DEED__POLICY__WATCH_LONGEST": "2s",
        "DEED__SERVER__OPS_LISTEN": "127.0.0.1:0",
        "DEED__SERVER__LISTEN": "127.0.0.1:0",
    }
    files = {"/etc/deed/root.hints": folder / "root.hints"}
    files["/etc/deed/root.hints"].write_text(pathlib.Path(dev["data"], "root.hints").read_text())

    def publish(name, kind, value):
        asked = ["sandbox", "record", "set", "--control", dev["urls"]["control"], name, kind, value]
        subprocess.run([program, *asked], check=True, capture_output=True)

    roles = [None]
    if "DEED__STORE__URL" in os.environ:
        roles = ["api", "projector", "verifier"]
        # PostgreSQL by a name of the hosts file, RabbitMQ by one of the DNS.
        publish("mq.services.test", "A", "127.0.0.1")
        for inside, text in (("/etc/hosts", "127.0.0.1 localhost db.services\n"), ("/etc/resolv.conf", "nameserver 127.0.0.99\n")):
            files[inside] = folder / inside.rsplit("/", 1)[1]
            files[inside].write_text(text)
        for name, host in (("DEED__STORE__URL", "db.services"), ("DEED__BUS__URL", "mq.services.test")):
            variables[name] = re.sub(r"(@|//)(127\.0\.0\.1|localhost)(?=[:/])", rf"\g<1>{host}", os.environ[name])
        containers.start("migrate", ["migrate"], variables, files)
        if containers.running.pop("migrate").wait(PATIENCE) != 0:
            raise SystemExit((folder / "migrate.log").read_text())

    ports = {}
    for role in roles:
        called = role or "deed"
        ports[called] = free_port(), free_port()
        own = {"DEED__SERVER__LISTEN": f"127.0.0.1:{ports[called][0]}", "DEED__SERVER__OPS_LISTEN": f"127.0.0.1:{ports[called][1]}"}
        begun = time.monotonic()
        containers.start(called, ["serve", "--roles", role] if role else None, variables | own, files)
        ops = f"http://127.0.0.1:{ports[called][1]}"

        def ready():
            if containers.running[called].poll() is not None:
                raise SystemExit(f"{called} has ended")
            return request("GET", f"{ops}/readyz")[0] == 200

        wait_for(f"{called} to be ready", ready)
        print(f"{called}: ready {time.monotonic() - begun:.2f} s after it was started; {prison(containers, called)}")
        containers.execute(called, "/usr/bin/deed", "healthcheck")

    front = roles[0] or "deed"
    url = f"http://127.0.0.1:{ports[front][0]}/v1/domains/claims"
    key = json.loads(containers.execute(front, "/usr/bin/deed", "--json", "keys", "create", "--workspace", "ws_1"))["secret"]
    status, body = request("POST", url, key, {"domain": DOMAIN})
    if status != 200:
        raise SystemExit(f"claim: {status} {body}")
    record = json.loads(body)["data"]["record"]
    status, body = request("POST", f"{url}/{DOMAIN}/verify", key)
    if status != 202:
        raise SystemExit(f"verify, before the record is there: {status} {body}")
    begun = time.monotonic()
    publish(record["name"], record["type"], record["value"])
    wait_for("the domain to be verified", lambda: b'"status":"verified"' in request("GET", f"{url}/{DOMAIN}", key)[1])
    print(f"{DOMAIN}: claimed, watched, verified {time.monotonic() - begun:.2f} s after its record was published")
    for called in list(containers.running):
        code = containers.stop(called)
        if code != 0:
            raise SystemExit(f"{called} ended with {code}: {(folder / called).with_suffix('.log').read_text()}")
    print("stopped in good order")


main()
