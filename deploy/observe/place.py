"""What the service stands on: database and broker, which can be broken, a DNS of its own, keys, and the settings."""
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

from children import Child, Failed, free_port, wait_for

WORKSPACES = ("ws_north", "ws_east", "ws_south")
# Addresses at which questions are heard and never answered. There are many: each is left alone after a few questions.
SILENT = [f"127.0.1.{number}" for number in range(1, 251)]


def request(method, url, body=None, headers=None, patience=30):
    """Status and what the JSON says; status 0 while nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"} | (headers or {}), method=method)
    try:
        with urllib.request.urlopen(asked, timeout=patience) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except (OSError, ValueError):
        return 0, None
    try:
        return status, json.loads(text)
    except ValueError:
        return status, None


class Services:
    """PostgreSQL and RabbitMQ, started by whoever started this program, and the orders that they take."""

    def __init__(self):
        missing = [name for name in ("DEED__STORE__URL", "DEED__BUS__URL", "DEED_SERVICES_CONTROL") if name not in os.environ]
        if missing:
            raise Failed(f"{', '.join(missing)} not set: `make observe` runs this within `services run --dev --control`")
        self.store, self.bus = os.environ["DEED__STORE__URL"], os.environ["DEED__BUS__URL"]
        management = urllib.parse.urlsplit(os.environ["DEED_TEST_RABBITMQ_MANAGEMENT_URL"])
        self.management = f"http://127.0.0.1:{management.port}/api"
        self.vhost = urllib.parse.urlsplit(self.bus).path.removeprefix("/")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.environ["DEED_SERVICES_CONTROL"])
        self.answers = self.socket.makefile()

    def order(self, *words):
        """Such as `postgres stop`."""
        self.socket.sendall(f"{' '.join(words)}\n".encode())
        answer = self.answers.readline().strip()
        if answer != "done":
            raise Failed(f"services: {' '.join(words)}: {answer or 'they are gone'}")

    def broker(self, method, path, body=None):
        """Of RabbitMQ's management interface."""
        basic = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
        return request(method, f"{self.management}/{path}", body, basic)

    def cut_connections(self):
        """All that there are of clients to RabbitMQ."""
        _, connections = self.broker("GET", f"vhosts/{self.vhost}/connections")
        for connection in connections or []:
            self.broker("DELETE", f"connections/{urllib.parse.quote(connection['name'], safe='')}")

    def sql(self, text):
        """The rows that psql answers, each its columns. A value may have more than one line. What has to wait fails."""
        done = subprocess.run(["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--record-separator-zero", "--field-separator=\t",
                               "--dbname", self.store, "--command", text], capture_output=True, text=True, env=os.environ | {"PGOPTIONS": "-c statement_timeout=5s"})
        if done.returncode != 0:
            raise Failed(f"{text}: {done.stderr.strip()}")
        return [row.split("\t") for row in done.stdout.strip("\n").split("\0") if row]

    def is_up(self):
        """Whether the database answers."""
        try:
            return bool(self.sql("SELECT 1"))
        except Failed:
            return False

    def session(self, folder, text):
        """A session that goes on by itself, such as one that holds a lock."""
        return Child("psql", ["psql", "--no-psqlrc", "--quiet", "--dbname", self.store, "--command", text], folder / "psql.log")


class Sandbox:
    """`deed dev`, for its DNS alone, and sockets that hear questions and stay silent."""

    def __init__(self, program, folder):
        self.told = folder / "sandbox.json"
        self.port = free_port()
        listen = ["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--control-listen=127.0.0.1:0", f"--dns-listen=127.0.0.1:{self.port}"]
        with open(self.told, "w") as out:
            clean = {name: value for name, value in os.environ.items() if not name.startswith("DEED")}
            self.child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", program, "dev", "--json", *listen], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=open(folder / "sandbox.log", "w"), env=clean)
        text = wait_for("the sandbox", lambda: self.told.read_text().strip())
        self.control = json.loads(text)["urls"]["control"]
        self.deaf = [deaf for address in SILENT for deaf in self.deaf_at(address)]

    def deaf_at(self, address):
        """Sockets that hear everything and answer nothing: of TCP one whose queue is full, so that the kernel is silent too."""
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((address, self.port))
        connections = socket.socket()
        connections.bind((address, self.port))
        connections.listen(0)
        yield from (datagrams, connections)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((address, self.port))
            yield filler

    def ask(self, method, path, body=None):
        status, answer = request(method, f"{self.control}/{path}", body)
        if status not in (200, 204):
            raise Failed(f"sandbox: {method} {path}: {status} {answer}")
        return answer

    def publish(self, name, *values, kind="TXT"):
        self.ask("PUT", f"records/{name}/{kind}", {"values": list(values)})

    def withdraw(self, name, kind="TXT"):
        # What is gone already is fine.
        request("DELETE", f"{self.control}/records/{name}/{kind}")

    def silence(self, zone, address):
        """The zone's only server is one that never answers."""
        self.ask("PUT", f"zones/{zone}", {"ns": [f"ns.{zone}"]})
        self.publish(f"ns.{zone}", address, kind="A")

    def fault(self, name, kind, delay=None):
        """A delay is in milliseconds."""
        self.ask("PUT", f"faults/{name}", {"fault": kind} | ({"ms": delay} if delay else {}))

    def heal(self):
        self.ask("DELETE", "faults")

    def stop(self):
        for deaf in self.deaf:
            deaf.close()
        self.child.terminate()
        self.child.wait(60)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes traces and forgets them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

    @classmethod
    def start(cls):
        """Where it is."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), cls)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"


class Place:
    """Everything but the service."""

    def __init__(self, program, folder):
        self.program, self.folder = pathlib.Path(program).resolve(), folder
        self.services = Services()
        self.sandbox = Sandbox(self.program, folder)
        hints = folder / "root.hints"
        hints.write_text(". 5 NS ns.sandbox.\nns.sandbox. 5 A 127.0.0.1\n")
        settings = {
            "STORE__URL": self.services.store,
            "STORE__DATA_DIR": str(folder),
            "BUS__URL": self.services.bus,
            "SERVER__WORKERS": "1",
            "TELEMETRY__ENDPOINT": Collector.start(),
            "DNS__PORT": str(self.sandbox.port),
            "DNS__ROOTS": str(hints),
            "DNS__ALLOW_NETWORKS": "127.0.0.0/8",
            # One server stands for almost all: as many questions as there are, but silent ones are still left alone.
            "DNS__SERVER_RATE": "100000",
            "DNS__SERVER_BURST": "100000",
            "NAMES__ALLOW_SPECIAL_USE": "true",
            # Days pass in minutes.
            "POLICY__WATCH_FIRST": "1s",
            "POLICY__WATCH_LONGEST": "5s",
            "POLICY__CONTEST_INTERVAL": "2s",
            "POLICY__CONTEST_GRACE": "20s",
            "POLICY__APEX_DEADLINE": "45s",
            "POLICY__HOST_DEADLINE": "45s",
            "POLICY__HELD_INTERVAL": "20s",
            "POLICY__DRIFT_GRACE": "15s",
            "POLICY__MANUAL_GAP": "0s",
            "POLICY__MANUAL_PER_HOUR": "100",
            "DISPATCHER__VISIBILITY": "5s",
            "SUBSCRIPTIONS__LEASE_TTL": "2s",
            "LIMITS__RATE": "10000",
            "LIMITS__BURST": "10000",
            "LIMITS__OPEN_CLAIMS_PER_WORKSPACE": "1000000",
        }
        self.variables = {f"DEED__{name}": value for name, value in settings.items()}
        self.deed("migrate")
        self.keys = [self.deed("keys", "create", "--workspace", workspace)["secret"] for workspace in WORKSPACES]

    def deed(self, *words):
        """A command of the executable, and the JSON that it answers."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DEED")}
        done = subprocess.run([self.program, "--json", *words], capture_output=True, text=True, env=clean | self.variables, cwd=self.folder, timeout=90)
        if done.returncode not in (0, 1):
            raise Failed(f"deed {' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            return None

    def stop(self):
        self.sandbox.stop()
