"""Grafana's dashboards: fresh from their source, and every query of them one that Prometheus understands, on metrics and
labels that there are."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from manifests import DEPLOY, ROOT

FOLDER = DEPLOY / "grafana"
# What Grafana puts in place of its variables.
STAND_INS = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "15s", "$namespace": ".*", "$job": "deed"}
# What scraping and Prometheus' own rules add.
SCRAPED = {"namespace", "job", "instance", "pod", "le", "alertname", "alertstate"}
# `kubectl apply` keeps a copy in an annotation, which may not be larger.
LARGEST = 250_000

sys.path.insert(0, str(FOLDER))


def problems(catalogue):
    """Whatever is wrong with the dashboards; `catalogue` gives the labels of every metric by its name."""
    import make

    boards = {}
    for name, text in make.texts().items():
        file = FOLDER / "dashboards" / name
        if not file.is_file() or file.read_text() != text:
            yield f"grafana/dashboards/{name} is not what its source makes: `make generate`"
        if len(text) > LARGEST:
            yield f"{name}: {len(text)} bytes are more than a ConfigMap may have"
        boards[name] = json.loads(text)
    if len({board["uid"] for board in boards.values()}) < len(boards):
        yield "two dashboards have the same uid"
    for name, board in boards.items():
        yield from (f"{name}: {p}" for p in of_panels(board))
        yield from (f"{name}: {p}" for p in of_words(board, catalogue))
    yield from unread({f"{name}: {title}": query for name, board in boards.items() for title, query in queries(board)})


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


def of_words(board, catalogue):
    """Every metric is one of ours, or of the process, and has the labels that are asked of it."""
    for title, query in queries(board):
        if "$" in query:
            yield f"{title}: uses a variable that the dashboard does not have: {query}"
        named = set(re.findall(r"\b(?:deed|process)_\w+", re.sub(r'"[^"]*"', "", query)))
        for metric in sorted(named - set(catalogue)):
            yield f"{title}: there is no metric {metric}"
        known = SCRAPED.union(*(catalogue.get(metric, set()) for metric in named))
        for labels in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", query):
            for label in filter(None, (each.strip() for each in labels.split(","))):
                if label not in known:
                    yield f"{title}: no metric of it has the label {label}"
        for metric, inside in re.findall(r"\b((?:deed|process)_\w+)\{([^}]*)\}", query):
            for label in re.findall(r"(\w+)\s*(?:=|!)", re.sub(r'"[^"]*"', "", inside)):
                if label not in SCRAPED | catalogue.get(metric, set()):
                    yield f"{title}: {metric} has no label {label}"


def unread(asked):
    """What Prometheus cannot read, by the check of its own rules."""
    rules = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(asked.values())]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        # YAML takes JSON.
        json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run([shutil.which("promtool"), "check", "rules", file.name], capture_output=True, text=True)
    if done.returncode != 0:
        titles = list(asked)
        for line in done.stderr.splitlines():
            place = re.search(r'"query:(\d+)"', line)
            yield f"{titles[int(place[1])]}: {line.strip()}" if place else line.strip()
