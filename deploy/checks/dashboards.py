"""Grafana's dashboards: fresh from their source, every panel told apart and explained, and every query one that Prometheus
understands, on metrics and labels that there are."""
import copy
import functools
import json
import re
import subprocess
import sys
import tempfile

import alerts
import promql
from manifests import DEPLOY, ROOT, environment

FOLDER = DEPLOY / "grafana"
# What Grafana puts in place of its variables.
STAND_INS = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "15s", "$namespace": ".*", "$job": "deed"}
# What Prometheus itself tells of every alert.
OF_ALERTS = {"ALERTS": {"alertname": set(), "alertstate": {"pending", "firing"}, "severity": set()}}
# `kubectl apply` keeps a copy in an annotation, which may not be larger.
LARGEST = 250_000

sys.path.insert(0, str(FOLDER))


def problems():
    """Whatever is wrong with the dashboards as they are committed."""
    import make

    for name, text in make.texts().items():
        file = FOLDER / "dashboards" / name
        if not file.is_file() or file.read_text() != text:
            yield f"grafana/dashboards/{name} is not what its source makes: `make generate`"
        if len(text) > LARGEST:
            yield f"{name}: {len(text)} bytes are more than a ConfigMap may have"
    yield from of_boards(committed())


def committed():
    """The dashboards by the names of their files."""
    return {file.name: json.loads(file.read_text()) for file in sorted(FOLDER.glob("dashboards/*.json"))}


def of_boards(boards):
    """Whatever is wrong with dashboards in themselves."""
    if len({board["uid"] for board in boards.values()}) < len(boards):
        yield "two dashboards have the same uid"
    names, asked = known(), {}
    for name, board in boards.items():
        yield from (f"{name}: {p}" for p in of_panels(board))
        for title, query in queries(board):
            asked[f"{name}: {title}"] = query
            try:
                if "$" in query:
                    yield f"{name}: {title}: uses a variable that there is not: {query}"
                promql.labels(query, names)
            except promql.Unknown as unknown:
                yield f"{name}: {title}: {unknown}"
            except ValueError:
                pass  # Prometheus says it better, below.
    yield from unread(asked)


@functools.cache
def known():
    """Everything that can be asked for, what the rules record included."""
    return alerts.known(alerts.Place())[0] | OF_ALERTS


def of_panels(board):
    """Every panel is told apart, explained, in its place, and leads to pages that there are."""
    panels = board["panels"]
    if len({panel["id"] for panel in panels}) < len(panels):
        yield "two panels have the same id"
    taken, titles = {}, set()
    for panel in panels:
        title, at = panel["title"], panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                if x >= 24 or taken.setdefault((x, y), title) != title:
                    yield f"{title}: lies over {taken.get((x, y), 'the edge')}"
                    break
        if panel["type"] == "row":
            continue
        if title in titles:
            yield f"two panels are called {title}"
        titles.add(title)
        for wanted in (panel.get("description"), panel["fieldConfig"]["defaults"].get("unit"), panel.get("targets")):
            if not wanted:
                yield f"{title}: has no description, unit or query"
        if any(target["datasource"]["uid"] != "$datasource" for target in panel["targets"]):
            yield f"{title}: asks another source than the one that was chosen"
        for link in panel.get("links", []):
            yield from (f"{title}: {p}" for p in of_link(link["url"]))
        for link in panel["fieldConfig"]["defaults"].get("links", []):
            yield from (f"{title}: {p}" for p in of_link(link["url"]))


def of_link(url):
    if not url.startswith("${runbooks}"):
        yield f"links to {url}, beyond the documentation"
    page, _, anchor = url.removeprefix("${runbooks}").partition("#")
    file = (ROOT / "docs" / "runbooks" / page.removeprefix("/")).resolve()
    if not file.exists():
        yield f"links to {file.relative_to(ROOT)}, which there is not"
    elif anchor and "$" not in anchor and f"# {anchor}" not in file.read_text().lower():
        yield f"links to {anchor} in {file.relative_to(ROOT)}, which there is not"


def queries(board):
    """Titles, and what is asked of Prometheus."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']} {target['refId']}", plain(target["expr"])
    for annotation in board["annotations"]["list"]:
        yield f"annotation {annotation['name']}", plain(annotation["expr"])


def plain(expression):
    """With values in place of Grafana's variables."""
    for variable, value in STAND_INS.items():
        expression = expression.replace(variable, value)
    return expression


def unread(asked):
    """What Prometheus cannot read, by the check of its own rules."""
    rules = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(asked.values())]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        # YAML takes JSON.
        json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        titles = list(asked)
        for line in done.stderr.splitlines():
            place = re.search(r'"query:(\d+)"', line)
            yield f"{titles[int(place[1])]}: {line.strip()}" if place else line.strip()


# What is done to the dashboard `service`, and a word that the complaint has to have.
SLIPS = {
    "a metric that there is not": (lambda p: target(p, "Overdue work").update(expr="max(deed_due_work_late)"), "no metric deed_due_work_late"),
    "a label that a metric has not": (lambda p: target(p, "Appends").update(expr="sum by (status) (rate(deed_appends_total[1m]))"), "no label status"),
    "a value that a label never has": (lambda p: target(p, "Dead letters").update(expr='deed_queue_messages{queue="lost"}'), "never lost"),
    "what Prometheus does not take": (lambda p: target(p, "Appends").update(expr="sum by (result) rate(deed_appends_total[1m])"), "Appends A"),
    "a variable that there is not": (lambda p: target(p, "Appends").update(expr='deed_ready{job="$cluster"}'), "variable"),
    "two panels with one id": (lambda p: panel(p, "Appends").update(id=panel(p, "Requests")["id"]), "same id"),
    "a panel over another": (lambda p: panel(p, "Appends")["gridPos"].update(panel(p, "Requests")["gridPos"]), "lies over"),
    "a panel without words": (lambda p: panel(p, "Appends").pop("description"), "no description"),
    "a panel without a unit": (lambda p: panel(p, "Appends")["fieldConfig"]["defaults"].pop("unit"), "no description, unit"),
    "a source of its own": (lambda p: target(p, "Appends")["datasource"].update(uid="prometheus"), "another source"),
    "a runbook that there is not": (lambda p: panel(p, "Ready")["links"][0].update(url="${runbooks}/process.md#deeddown"), "process.md"),
}


def panel(panels, title):
    return next(each for each in panels if each["title"] == title)


def target(panels, title):
    return panel(panels, title)["targets"][0]


def unnoticed():
    """Slips that nobody complained of, and how many were made."""
    missed = []
    for slip, (make, word) in SLIPS.items():
        boards = copy.deepcopy(committed())
        make(boards["service.json"]["panels"])
        if not any(word in problem for problem in of_boards(boards)):
            missed.append(f"the check of dashboards does not notice {slip}")
    return missed, len(SLIPS)
