"""Processes that end with this program, however it ends, and the processes of the service among them."""
import os
import random
import signal
import socket
import subprocess
import time

PATIENCE = 60


class Failed(Exception):
    """Something that the stand itself needs did not come about."""


def free_port():
    """One that nobody is given by chance while a process is away that will want it again."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_for(what, look, patience=PATIENCE):
    """Until `look` gives something, or the time is up."""
    deadline = time.monotonic() + patience
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {patience} s")
        time.sleep(0.05)


class Child:
    """A process with a log of its own. The kernel kills it when this program is gone, stopped or not."""

    def __init__(self, called, command, log, variables=None, files=None):
        self.called, self.log = called, log
        # Of whoever runs this, nothing may leak into what is observed.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DEED")}
        limit = ["prlimit", f"--nofile={files}:{files}"] if files else []
        with open(log, "a") as out:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *limit, *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean | (variables or {}),
            )

    def runs(self):
        return self.process.poll() is None

    def send(self, number):
        if self.runs():
            self.process.send_signal(number)

    def stop(self, patience=40):
        """In good order; one that will not go is killed."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self):
        self.send(signal.SIGKILL)
        return self.process.wait(PATIENCE)


class Member:
    """One place in the fleet: a role at fixed ports, and the process that has it now."""

    def __init__(self, fleet, role, number):
        self.fleet, self.role, self.called = fleet, role, f"{role}-{number}"
        self.http, self.ops = free_port(), free_port()
        self.child = None

    def start(self, variables=None, files=None, program=None):
        """With settings that differ from those of all, a limit on open files, or another executable."""
        own = {"DEED__SERVER__LISTEN": f"127.0.0.1:{self.http}", "DEED__SERVER__OPS_LISTEN": f"127.0.0.1:{self.ops}"}
        command = [program or self.fleet.program, "serve", "--roles", self.role]
        log = self.fleet.folder / f"{self.called}.log"
        self.child = Child(self.called, command, log, self.fleet.variables | own | (variables or {}), files)

    def restart(self, **differently):
        self.child.stop()
        self.start(**differently)

    def freeze(self):
        self.child.send(signal.SIGSTOP)

    def thaw(self):
        self.child.send(signal.SIGCONT)


class Fleet:
    """The processes of the service, as a platform runs them."""

    def __init__(self, program, folder, variables, roles):
        self.program, self.folder, self.variables = program, folder, variables
        self.members = [Member(self, role, number) for role, count in roles.items() for number in range(1, count + 1)]

    def of(self, role):
        return [member for member in self.members if member.role == role]

    def start(self):
        for member in self.members:
            member.start()

    def mend(self):
        """Whoever does not run is started; whoever stands still goes on."""
        for member in self.members:
            if member.child is None or not member.child.runs():
                member.start()
            else:
                member.thaw()

    def stop(self):
        running = [member for member in self.members if member.child]
        for member in running:
            member.child.send(signal.SIGCONT)
            member.child.send(signal.SIGTERM)
        return {member.called: member.child.stop() for member in running}
