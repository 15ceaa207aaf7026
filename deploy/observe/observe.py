#!/usr/bin/env python3
"""A live stand: the service in many processes with a load of claims, watched by a real Prometheus with the house's rules.

First all is well: every panel of the dashboards has to show something, and no alert may fire. Then each alert's outage is
made for real; the alert has to fire, and to end once what its runbook says has been done. `make observe` runs it.
"""
import argparse
import json
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import boards
import confirm
from children import Failed, Fleet, wait_for
from load import Load
from outages import OUTAGES
from place import Place, request
from prometheus import Prometheus, Watch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ROLES = {"api": 2, "projector": 2, "verifier": 3}
# How long an alert may take to end once what was broken is whole.
END = 180


def options():
    known = argparse.ArgumentParser(description=__doc__)
    known.add_argument("--deed", default=ROOT / "target/debug/deed", help="the executable")
    known.add_argument("--folder", default=ROOT / "target/observe", type=pathlib.Path, help="where everything is kept; emptied first")
    known.add_argument("--rules", default=ROOT / "deploy/prometheus/rules", type=pathlib.Path, help="the folder of rules")
    known.add_argument("--scale", default=60, type=float, help="how many times faster time passes in the rules")
    known.add_argument("--pace", default=4, type=float, help="new names a second")
    known.add_argument("--healthy", default=100, type=float, help="seconds for which all is well at first; 0 leaves that part out")
    known.add_argument("--only", nargs="*", metavar="OUTAGE", help="only these outages; with none, none")
    known.add_argument("--list", action="store_true", help="print the outages and end")
    return known.parse_args()


class Stand:
    """Everything that runs."""

    def __init__(self, asked):
        self.asked, self.folder = asked, asked.folder.resolve()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.failures, self.rows, self.pending_ends = [], [], []
        self.place = self.fleet = self.load = self.prometheus = self.watch = None

    def start(self):
        self.place = Place(self.asked.deed, self.folder)
        self.fleet = Fleet(self.place.program, self.folder, self.place.variables, ROLES)
        self.fleet.start()
        for member in self.fleet.members:
            self.wait_ready(member)
        self.prometheus = Prometheus(self.folder, self.asked.rules, self.asked.scale, self.fleet.members)
        everybody = f"count(up == 1) == {len(self.fleet.members)}"
        wait_for("Prometheus to see everybody", lambda: self.prometheus.values(everybody))
        self.watch = Watch(self.prometheus)
        self.watch.start()
        self.load = Load(self.place, self.fleet.of("api"), self.asked.pace)

    def wait_ready(self, member):
        wait_for(f"{member.called} to be ready", lambda: request("GET", f"http://127.0.0.1:{member.ops}/readyz")[0] == 200)

    def leader(self, lease):
        """Whoever has a lease, as the leases' table says: an owner is named by its process's id, then a part of its own."""
        owners = self.place.services.sql(f"SELECT owner FROM leases WHERE name = '{lease}' AND expires_at > now()")
        pid = int(owners[0][0].split("-")[0]) if owners else None
        return next((member for member in self.fleet.members if member.child.process.pid == pid), None)

    def other_version(self):
        """The executable with another version in it."""
        other = self.folder / "deed-other"
        if not other.exists():
            version = subprocess.check_output([self.place.program, "--version"], text=True).split()[-1]
            changed = version[:-1] + chr(ord(version[-1]) ^ 1)
            other.write_bytes(self.place.program.read_bytes().replace(version.encode(), changed.encode()))
            other.chmod(0o755)
        return other

    def stop(self):
        for part in (self.watch and self.watch.over.set, self.load and self.load.stop, self.fleet and self.fleet.stop,
                     self.prometheus and self.prometheus.stop, self.place and self.place.stop):
            try:
                if part:
                    part()
            except Exception as error:  # noqa: BLE001 - the others have to end as well
                print(f"while ending: {error!r}", file=sys.stderr)

    # The two parts

    def all_is_well(self):
        since = time.time()
        self.rest(self.asked.healthy)
        count, empty = boards.empty(self.prometheus, since)
        self.failures += [f"shows nothing: {panel}" for panel in empty]
        print(f"all is well for {self.asked.healthy:.0f} s: {count} queries of the dashboards, of which {len(empty)} show nothing")
        # What the start itself set off is over by now.
        loud = {alert: state for alert, state in self.watch.states.items() if state != "inactive"}
        self.failures += [f"all is well, but {'/'.join(alert)} is {state}" for alert, state in loud.items()]
        print(f"alerts: {len(self.watch.states)}, of which {len(loud)} are pending or firing")

    def rest(self, seconds):
        """Looks after everything while nothing is to be done."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            time.sleep(0.3)

    def look(self):
        if self.watch.trouble:
            raise Failed(f"the watch: {self.watch.trouble}")
        if not self.prometheus.child.runs() or self.place.sandbox.child.poll() is not None:
            raise Failed("Prometheus or the sandbox has ended")

    def unbroken(self):
        """Alerts that nobody makes fire: every one has to have its outage."""
        known = {alert for outage in OUTAGES for alert in outage.alerts}
        rules = {(name, severity) for name, severity, _, _ in self.prometheus.rules()}
        self.failures += [f"no outage makes {'/'.join(alert)} fire" for alert in sorted(rules - known)]
        self.failures += [f"there is no alert {'/'.join(alert)}, which an outage wants to fire" for alert in sorted(known - rules)]
        return rules

    def attempt(self, outage, rules):
        """An outage that goes wrong itself fails; the others are made all the same."""
        try:
            self.outage(outage, rules)
        except (Failed, OSError, LookupError, TypeError, ValueError, subprocess.SubprocessError) as trouble:
            self.failures.append(f"{outage.called}: {trouble!r}")
            self.look()
            self.fleet.mend()

    def outage(self, outage, rules):
        wanted = [alert for alert in outage.alerts if alert in rules]
        quiet = [alert for alert in wanted if alert not in outage.late]
        if not self.until(lambda: all(self.watch.state(alert) == "inactive" for alert in quiet), END):
            self.failures.append(f"{outage.called}: its alerts do not rest before it")
        print(f"{outage.called}: {outage.how}", flush=True)
        # What looks back for hours may fire yet from an outage before.
        before = {alert for alert in wanted if self.watch.state(alert) == "firing"}
        steps = outage.make(self)
        begun, fired = time.monotonic(), {}
        next(steps)
        while len(fired) < len(wanted) and time.monotonic() - begun < outage.patience:
            self.look()
            for alert in wanted:
                if alert not in fired and self.watch.state(alert) == "firing":
                    fired[alert] = time.monotonic() - begun
                    print(f"  {'/'.join(alert)} fires after {fired[alert]:.0f} s", flush=True)
            if len(fired) < len(wanted):
                steps.send(True)
                time.sleep(0.2)
        confirmed = self.confirm(wanted, fired)
        self.finish(steps)
        mended = time.monotonic()
        others = self.watch.since(begun) - set(wanted)
        for alert in wanted:
            row = {"alert": "/".join(alert), "how": outage.how, "fires": "fired already" if alert in before else fired.get(alert), "ends": None, "confirmed": confirmed.get(alert, ""), "others": sorted("/".join(o) for o in others)}
            self.rows.append(row)
            if alert not in fired:
                self.failures.append(f"{outage.called}: {row['alert']} does not fire within {outage.patience} s")
            elif alert in outage.late:
                self.pending_ends.append((alert, mended, row))
            else:
                self.see_the_end(alert, mended, row, END)

    def confirm(self, wanted, fired):
        """Asks what the runbooks have one ask, while everything is broken yet."""
        told = {}
        for name, severity, state, rule in self.prometheus.rules():
            alert = (name, severity)
            if alert in wanted and alert in fired and state == "firing":
                asked, dumb = confirm.confirmed(rule, self.prometheus, self.place.services, self.asked.scale)
                told[alert] = f"{asked - len(dumb)} of {asked}"
                for each in dumb:
                    print(f"  {name}: nothing answers: {each}")
                if asked and len(dumb) == asked:
                    self.failures.append(f"{name}: nothing that its runbook has one ask answers")
        return told

    @staticmethod
    def finish(steps):
        """Mends."""
        try:
            steps.send(False)
        except StopIteration:
            return
        raise AssertionError("an outage has one time to wait")

    def see_the_end(self, alert, mended, row, patience):
        if self.until(lambda: self.watch.state(alert) != "firing", patience):
            row["ends"] = time.monotonic() - mended
            print(f"  {row['alert']} ends after {row['ends']:.0f} s", flush=True)
        else:
            self.failures.append(f"{row['alert']} does not end within {patience} s")

    def until(self, look, patience):
        deadline = time.monotonic() + patience
        while not look():
            self.look()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def run(self):
        self.start()
        rules = self.unbroken()
        if self.asked.healthy:
            self.all_is_well()
        for outage in OUTAGES:
            if self.asked.only is None or outage.called in self.asked.only:
                self.attempt(outage, rules)
        for alert, mended, row in self.pending_ends:
            # The longest window of theirs is that of six hours.
            self.see_the_end(alert, mended, row, 6.5 * 3600 / self.asked.scale + 30)

    def report(self):
        def told(seconds):
            return "–" if seconds is None else seconds if isinstance(seconds, str) else f"{seconds:.0f}"

        lines = ["| alert | broken by | seconds to fire | runbook's questions answered | seconds to end | fired as well |", "|---|---|---|---|---|---|"]
        lines += [f"| {row['alert']} | {row['how']} | {told(row['fires'])} | {row['confirmed']} | {told(row['ends'])} | {', '.join(row['others'])} |" for row in self.rows]
        text = "\n".join(lines) + "\n"
        (self.folder / "report.md").write_text(text)
        (self.folder / "report.json").write_text(json.dumps({"rows": self.rows, "failures": self.failures}, indent=1))
        if self.rows:
            print(text)
        if self.load:
            print(f"requests by status: {dict(sorted(self.load.answers.items()))}, verified at once: {self.load.verified}, "
                  f"tenants in trouble: {len(self.load.failed)}")
        for failure in self.failures:
            print(f"FAILED: {failure}", file=sys.stderr)


def main():
    asked = options()
    if asked.list:
        for outage in OUTAGES:
            print(f"{outage.called}: {outage.how}: {', '.join('/'.join(alert) for alert in outage.alerts)}")
        return 0
    unknown = set(asked.only or ()) - {outage.called for outage in OUTAGES}
    if unknown:
        raise SystemExit(f"there is no outage {', '.join(sorted(unknown))}; --list names them")
    # Sockets that stay silent are many.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stand = Stand(asked)
    try:
        stand.run()
    except Failed as trouble:
        stand.failures.append(str(trouble))
    finally:
        stand.stop()
        stand.report()
    return 1 if stand.failures else 0


if __name__ == "__main__":
    sys.exit(main())
