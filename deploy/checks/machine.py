"""What runs on one machine: compose.yaml, the unit for systemd, the files they bring, and the image's own."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import executable
from manifests import DEPLOY, TOOLS, environment

# What of 100 the unit may be exposed, by the measure of systemd-analyze.
EXPOSED = 15
PASSWORDS = {"POSTGRES_PASSWORD": "x", "RABBITMQ_PASSWORD": "x"}


def problems():
    """Whatever would not start, or not keep to its limits."""
    for profile in ("server", "embedded"):
        yield from (f"compose.yaml, {profile}: {p}" for p in of_compose(compose(profile), profile))
    for file in ("systemd/deed.toml", "image/deed.toml"):
        fault = executable.faults({}, (DEPLOY / file).read_text())
        if fault:
            yield f"{file}: {fault}"
    yield from of_unit((DEPLOY / "systemd/deed.service").read_text())
    for wrapper in ("unbound/compose.conf", "kubernetes/components/unbound/pod.conf"):
        yield from of_unbound(wrapper)


def compose(profile):
    """As Docker Compose reads it, with all that may be added."""
    profiles = ["--profile", profile, "--profile", "monitoring"]
    asked = [TOOLS / "docker-compose", "--file", DEPLOY / "compose.yaml", *profiles, "config", "--format", "json"]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment(**PASSWORDS))
    if done.returncode != 0:
        raise SystemExit(f"compose.yaml: {done.stderr.strip()}")
    return json.loads(done.stdout)


def of_compose(told, profile):
    services = told["services"]
    roles = [s for s in services.values() if is_ours(s) and s["command"][0] == "serve"]
    if len(roles) != {"server": 3, "embedded": 1}[profile]:
        yield f"{len(roles)} services run the executable"
    own = (DEPLOY / "image/deed.toml").read_text()
    for called, service in services.items():
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{called}: new privileges may be had"
        for volume in service.get("volumes", []):
            if volume["type"] == "bind" and not pathlib.Path(volume["source"]).exists():
                yield f"{called}: there is no {volume['source']}"
        if is_ours(service):
            yield from (f"{called}: {p}" for p in of_service(service, own))
    for port in (p for s in services.values() for p in s.get("ports", [])):
        if port.get("host_ip") != "127.0.0.1":
            yield f"port {port['target']} is open to everybody"


def is_ours(service):
    return service["image"].startswith("localhost/deed")


def of_service(service, own):
    if not service.get("read_only") or service.get("cap_drop") != ["ALL"] or service.get("user") != "65532:65532":
        yield "has more rights than it needs"
    variables = dict(service.get("environment") or {})
    if "--roles" in service["command"]:
        variables["DEED__SERVER__ROLES"] = service["command"][-1]
    fault = executable.faults(variables, own)
    if fault:
        yield fault
        return
    settings = executable.settings(variables, own)
    grace = executable.seconds(service["stop_grace_period"])
    if service["command"][0] == "serve":
        if grace <= executable.stopping(settings["server"]):
            yield f"is killed after {grace} s"
        for port in service.get("ports", []):
            if settings["server"]["listen"] != f"0.0.0.0:{port['target']}":
                yield f"publishes {port['target']}, but listens on {settings['server']['listen']}"


def of_unit(text):
    """systemd's own opinion, on a root of its own where the programs that the unit names exist."""
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / "deed.service"
        program = re.search(r"^ExecStart=(\S+)", text, re.M)[1]
        unit.write_text(text.replace(program, str(executable.DEED)))
        done = analyze("verify", unit)
        # It tells as well of units of this machine, which are not ours.
        for line in done.stderr.splitlines():
            if "deed.service" in line:
                yield f"deed.service: {line}"
        done = analyze("security", "--offline=true", f"--threshold={EXPOSED}", "--no-pager", unit)
        if done.returncode != 0:
            yield f"deed.service: {done.stdout.strip().splitlines()[-1]}, more than {EXPOSED / 10}"
    settings = executable.settings({}, (DEPLOY / "systemd/deed.toml").read_text())
    limit = int(re.search(r"^TimeoutStopSec=(\d+)", text, re.M)[1])
    if limit <= executable.stopping(settings["server"]):
        yield f"deed.service: is killed after {limit} s"
    if settings["store"]["data_dir"] != "/var/lib/" + re.search(r"^StateDirectory=(\S+)", text, re.M)[1]:
        yield "deed.service: StateDirectory is not where systemd/deed.toml keeps the data"
    if "DEED_CONFIG=/etc/deed/deed.toml" not in text:
        yield "deed.service: does not name its configuration"


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, env=environment())


def of_unbound(wrapper):
    """Unbound's own check, with the shared file where this one looks for it."""
    checker = shutil.which("unbound-checkconf", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "wrapper.conf"
        file.write_text((DEPLOY / wrapper).read_text().replace("/etc/deed-unbound/", f"{DEPLOY}/unbound/"))
        done = subprocess.run([checker, file], capture_output=True, text=True)
        if done.returncode != 0:
            yield f"{wrapper}: {done.stderr.strip()}"
