"""Checks the check of alerts: each of these slips, made on purpose in a copy of everything, has to be noticed."""
import contextlib
import copy
import pathlib
import re
import shutil
import tempfile

import yaml

import alerts

UNTESTED = """
      - alert: DeedForgotten
        expr: deed_ready > 1
        labels:
          severity: ticket
        annotations:
          summary: One.
          description: Two.
          runbook_url: /store.md#deedforgotten
"""

# What is done to which file, and a word that the complaint has to have.
SLIPS = {
    "a metric that there is not": ("deploy/prometheus/rules/pipeline.yaml", "(deed_lease_held)", "(deed_lease_taken)", "no metric deed_lease_taken"),
    "a record that there is not": ("deploy/prometheus/rules/objectives.yaml", "ratio_rate1h{", "ratio_rate4h{", "no metric deed:slo_burn:ratio_rate4h"),
    "a label that a metric has not": ("deploy/prometheus/rules/store.yaml", 'state="used"', 'kind="used"', "no label kind"),
    "a label that is added up by": ("deploy/prometheus/rules/pipeline.yaml", "job, lease) (deed_lease_held)", "job, role) (deed_lease_held)", "no label role"),
    "a value that a label never has": ("deploy/prometheus/rules/store.yaml", 'state="used"', 'state="busy"', "never busy"),
    "a label in the words": ("deploy/prometheus/rules/pipeline.yaml", "The {{ $labels.subscription }}", "The {{ $labels.queue }}", "a label queue"),
    "sides that never meet": ("deploy/prometheus/rules/store.yaml", "/ ignoring (state)", "/", "never meet"),
    "an alert for nobody": ("deploy/prometheus/rules/store.yaml", "severity: page", "severity: urgent", "neither for a page"),
    "an alert without words": ("deploy/prometheus/rules/store.yaml", "summary: Appends of", "title: Appends of", "has no summary"),
    "an alert without a test": ("deploy/prometheus/rules/store.yaml", None, UNTESTED, "no test has it fire"),
    "an alert that is never seen to end": ("deploy/prometheus/tests/store.yaml", "eval_time: 50m", "eval_time: 10m", "no test has it end"),
    "an alert without a runbook": ("deploy/prometheus/rules/store.yaml", None, UNTESTED, "has no store.md#deedforgotten"),
    "a runbook without an alert": ("docs/runbooks/store.md", None, "\n## DeedForgotten\n", "no such alert"),
    "rules that Kubernetes does not get": ("deploy/prometheus/rules/store.yaml", "> 0.5", "> 0.6", "make generate"),
    "what Prometheus does not take": ("deploy/prometheus/rules/store.yaml", "for: 10m", "for: long", "not a valid duration"),
    "what a runbook asks for in vain": ("docs/runbooks/store.md", "```promql\n", "```promql\ndeed_moods\n", "no metric deed_moods"),
    "a command that there is not": ("docs/runbooks/pipeline.md", "deed dead list", "deed dead show", "deed dead show"),
    "words that no log has": ("docs/runbooks/broker.md", 'log: "', 'log: "my ', "logs"),
}


@contextlib.contextmanager
def spoilt(place, change):
    """A copy of everything after a change to its folder."""
    with tempfile.TemporaryDirectory() as folder:
        copied = alerts.Place(pathlib.Path(folder))
        shutil.copytree(place.prometheus, copied.prometheus)
        shutil.copytree(place.runbooks.parent, copied.runbooks.parent)
        copied.manifest.parent.mkdir(parents=True)
        shutil.copy(place.manifest, copied.manifest)
        change(copied)
        yield copied


def slipped(file, old, new):
    def change(place):
        text = (place.root / file).read_text()
        if old is not None and old not in text:
            raise SystemExit(f"spoiled_alerts.py: {file} has no {old}")
        (place.root / file).write_text(text + new if old is None else text.replace(old, new, 1))
    return change


def never(rule):
    rule["expr"] = f"({rule['expr']}) unless ({rule['expr']})"


def sooner(rule):
    rule["expr"] = re.sub(r"(>=?) (0?[1-9]\d*(?:\.\d+)?|0\.\d+)\b", lambda found: f"{found[1]} {float(found[2]) * 0.8}", rule["expr"])


def at_once(rule):
    rule.pop("for", None)


# What is done to every alert at once; the tests of each that it changes have to fail.
CHANGES = {"never fires": never, "fires a fifth too soon": sooner, "waits for nothing": at_once}


def changed(make, names):
    """Applies one to every alert, and notes which are different now."""
    def change(place):
        for file in sorted(place.prometheus.glob("rules/*.yaml")):
            content = yaml.safe_load(file.read_text())
            for rule in (rule for group in content["groups"] for rule in group["rules"] if "alert" in rule):
                before = copy.copy(rule)
                make(rule)
                if rule != before:
                    names.add(rule["alert"])
            file.write_text(yaml.safe_dump(content))
        for file in sorted(place.prometheus.glob("tests/*.yaml")):
            # Days take long, and are of the same alerts as hours.
            if not names & set(re.findall(r"\w+", file.read_text())) or file.name == "objectives-days.yaml":
                file.unlink()
    return change


def unnoticed(place=alerts.Place()):
    """Slips that nobody complained of, and how many were made."""
    missed = []
    for slip, (file, old, new, word) in SLIPS.items():
        with spoilt(place, slipped(file, old, new)) as copied:
            if not any(word in problem for problem in alerts.of_text(copied)):
                missed.append(f"the check does not notice {slip}")
    for slip, make in CHANGES.items():
        names = set()
        with spoilt(place, changed(make, names)) as copied:
            failed = set(re.findall(r"alertname:\s*(\w+)", "\n".join(alerts.of_behaviour(copied))))
        missed += [f"no test of {name} fails when it {slip}" for name in sorted(names - failed)]
    return missed, len(SLIPS) + len(CHANGES)
