"""The rules of deploy/prometheus: that they are sound, tested and explained, and name nothing that there is not."""
import concurrent.futures
import dataclasses
import pathlib
import re
import subprocess

import yaml

import catalogue
import promql
import runbooks
from manifests import ROOT, environment


@dataclasses.dataclass(frozen=True)
class Place:
    """Where everything is; under another root when the check is checked."""

    root: pathlib.Path = ROOT

    @property
    def prometheus(self):
        return self.root / "deploy" / "prometheus"

    @property
    def runbooks(self):
        return self.root / "docs" / "runbooks"

    @property
    def manifest(self):
        return self.root / "deploy" / "kubernetes" / "components" / "monitoring" / "rules.yaml"

    def rules(self):
        """Every rule, in the order of files and within them."""
        for file in sorted(self.prometheus.glob("rules/*.yaml")):
            for group in yaml.safe_load(file.read_text())["groups"]:
                yield from group["rules"]

    def alerts(self):
        """Those that alert."""
        return [rule for rule in self.rules() if "alert" in rule]


def problems(place=Place()):
    """Whatever would not load, not fire, not end, or leave whoever is called alone with it."""
    found = list(of_text(place))
    yield from found or of_behaviour(place)


def of_text(place):
    """What can be told without running the tests. What Prometheus does not take is not looked at further."""
    found = list(of_syntax(place)) or list(of_alerts(place))
    yield from found
    if not found:
        yield from of_names(place)
        yield from of_coverage(place)
        yield from of_runbooks(place)
        yield from runbooks.problems(place.runbooks, known(place)[0])
        yield from of_manifest(place)


def promtool(*arguments, within):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, cwd=within, env=environment())


def of_syntax(place):
    """Prometheus's own opinion of the rules, and of the configurations that name them."""
    for config in ("prometheus.yaml", "compose.yaml"):
        done = promtool("check", "config", config, within=place.prometheus)
        if done.returncode != 0:
            yield f"prometheus/{config}: {(done.stdout + done.stderr).strip()}"


def known(place):
    """What can be asked for: what is measured, and what the rules record of it. Records follow what they are made of."""
    names = dict(catalogue.read())
    waiting = [rule for rule in place.rules() if "record" in rule]
    while waiting:
        left = []
        for rule in waiting:
            try:
                found = promql.labels(rule["expr"], names) - promql.TARGET | set(rule.get("labels", {}))
            except promql.Unknown as unknown:
                left.append((rule, unknown))
            else:
                values = names.setdefault(rule["record"], {})
                for label in found:
                    values.setdefault(label, set()).update({rule["labels"][label]} if label in rule.get("labels", {}) else ())
        if len(left) == len(waiting):
            return names, left
        waiting = [rule for rule, _ in left]
    return names, []


def of_names(place):
    """Metrics, labels and values that there are; in the words of an alert, labels that it has."""
    names, unknown = known(place)
    yield from (f"{rule['record']}: {problem}" for rule, problem in unknown)
    for rule in place.alerts():
        try:
            has = promql.labels(rule["expr"], names) | set(rule["labels"])
        except promql.Unknown as problem:
            yield f"{rule['alert']}: {problem}"
            continue
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            if label not in has:
                yield f"{rule['alert']}: tells of a label {label}, which it does not have"


def of_alerts(place):
    """What every alert has to say."""
    for rule in place.alerts():
        name, told = rule["alert"], rule.get("annotations", {})
        if rule.get("labels", {}).get("severity") not in ("page", "ticket"):
            yield f"{name}: is neither for a page nor for a ticket"
        for key in ("summary", "description", "runbook_url"):
            if key not in told:
                yield f"{name}: has no {key}"


def of_coverage(place):
    """Every alert of every severity is seen to fire, to end, and to stay silent where it is none."""
    fires, ends, silent = set(), set(), set()
    for file in sorted(place.prometheus.glob("tests/*.yaml")):
        for test in yaml.safe_load(file.read_text())["tests"]:
            seen = {}
            for case in sorted(test["alert_rule_test"], key=lambda case: seconds(case["eval_time"])):
                now = {(case["alertname"], e["exp_labels"]["severity"]) for e in case["exp_alerts"]}
                before = seen.setdefault(case["alertname"], [])
                ends |= {alert for earlier in before for alert in earlier} - now if before else set()
                before.append(now)
                fires |= now
            silent |= {name for name, states in seen.items() if not any(states)}
    for rule in place.alerts():
        alert = (rule["alert"], rule["labels"]["severity"])
        if alert not in fires:
            yield f"{alert[0]}: no test has it fire as a {alert[1]}"
        elif alert not in ends:
            yield f"{alert[0]}: no test has it end as a {alert[1]}"
        if alert[0] not in silent:
            yield f"{alert[0]}: no test has it stay silent"


def seconds(duration):
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


def of_runbooks(place):
    """Every alert leads to its part of a runbook, and every part is of an alert."""
    parts = {}
    for file in sorted(place.runbooks.glob("*.md")):
        parts |= {f"{file.name}#{title.lower()}": title for title in re.findall(r"^## (Deed\w+)$", file.read_text(), re.M)}
    named = set()
    for rule in place.alerts():
        part = rule["annotations"]["runbook_url"].rsplit("/", 1)[-1]
        named.add(part)
        if parts.get(part) != rule["alert"]:
            yield f"{rule['alert']}: docs/runbooks has no {part}"
    for part in sorted(set(parts) - named):
        yield f"docs/runbooks/{part}: there is no such alert"


def of_manifest(place):
    """The object for the Prometheus operator is made of the same rules."""
    made = subprocess.run([place.prometheus / "kubernetes.sh"], capture_output=True, text=True, check=True, env=environment())
    if made.stdout != place.manifest.read_text():
        yield f"{place.manifest.name}: is not what deploy/prometheus/kubernetes.sh prints; run `make generate`"


def of_behaviour(place):
    """Prometheus's own run of the tests."""
    tests = sorted(place.prometheus.glob("tests/*.yaml"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda test: promtool("test", "rules", test.name, within=test.parent), tests)
        for test, done in zip(tests, runs):
            if done.returncode != 0:
                yield f"prometheus/tests/{test.name}: {(done.stdout + done.stderr).strip()}"
