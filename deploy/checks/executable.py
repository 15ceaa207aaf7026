"""What the executable itself says: its keys, its paths; and what the sources say of queues and networks."""
import contextlib
import functools
import ipaddress
import json
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from manifests import ROOT, environment

DEED = ROOT / "target" / "debug" / "deed"


def faults(variables, config=None):
    """Whatever the executable finds wrong with these variables, over this text of a file; empty when it is sound."""
    done = asked("check", tuple(sorted(variables.items())), config or "")
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()


def settings(variables, config=None):
    """Every key as it stands with these variables, over this text of a file: section, then key, then value."""
    done = asked("print", tuple(sorted(variables.items())), config or "")
    told = json.loads(done.stdout)
    return {section: {key: of["value"] for key, of in keys.items() if "value" in of} for section, keys in told.items()}


@functools.cache
def asked(question, variables, config):
    """`deed config check` or `deed config print`."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/deed.toml"
        with open(path, "w") as file:
            file.write(config)
        command = [DEED, "--config", path, "--json", "config", question]
        return subprocess.run(command, capture_output=True, text=True, env=environment(**dict(variables)), cwd=folder)


def seconds(duration):
    """From a duration as the executable prints it, such as `1m 30s`."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "day": 86400, "days": 86400}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)\s*([a-z]+)", duration))


def stopping(server):
    """How many seconds a process with these settings may take to end when it is told to, with what is kept for the last."""
    return seconds(server["shutdown_delay"]) + seconds(server["shutdown_deadline"]) + 1


@contextlib.contextmanager
def operations_port():
    """A running service, alone on a file of its own: gives a function that says which status a path has."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w") as log:
        variables = {
            "DEED__SERVER__LISTEN": "127.0.0.1:0",
            "DEED__SERVER__OPS_LISTEN": "127.0.0.1:0",
            "DEED__STORE__DATA_DIR": folder,
        }
        child = subprocess.Popen([DEED, "serve"], stderr=log, env=environment(**variables), cwd=folder)
        try:
            at = where(child, f"{folder}/log")
            yield lambda path: status(f"http://{at}{path}")
        finally:
            child.terminate()
            child.wait(60)


def where(child, log):
    """The address of the operations port, from the line that tells that the service runs."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        with open(log) as lines:
            for line in lines:
                if '"deed is running"' in line and line.endswith("\n"):
                    return json.loads(line)["ops"]
        time.sleep(0.05)
    with open(log) as lines:
        raise SystemExit(f"the service does not start: {lines.read()}")


def status(url):
    """Asked until the parts have started, since readiness is a matter of moments."""
    deadline = time.monotonic() + 30
    while True:
        try:
            code = urllib.request.urlopen(url, timeout=5).status
        except urllib.error.HTTPError as error:
            code = error.code
        if code != 503 or time.monotonic() > deadline:
            return code
        time.sleep(0.05)


def queues():
    """The names of the queues."""
    text = (ROOT / "crates/messages/src/queues.rs").read_text()
    return set(re.findall(r'pub const VERIFICATION\w*: &str = "([^"]+)"', text))


def refused_networks():
    """The networks that the prober refuses, and those it keeps within them."""
    text = (ROOT / "crates/probe/src/egress.rs").read_text()

    def listed(constant):
        block = re.search(rf"const {constant}[^=]*=\s*(.*?);", text, re.S).group(1)
        four = {f"{a.replace(', ', '.')}/{n}" for a, n in re.findall(r"v4\(\[([^\]]+)\], (\d+)\)", block)}
        six = set()
        for words, length in re.findall(r"v6\(\[([^\]]+)\], (\d+)\)", block):
            groups = ":".join(f"{int(word, 16):x}" for word in words.split(", "))
            six.add(str(ipaddress.ip_network(f"{groups}/{length}")))
        return four | six

    return listed("REFUSED_V4"), listed("GLOBAL_V6"), listed("REFUSED_V6"), listed("KEPT_V6")
