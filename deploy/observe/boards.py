"""Whether every panel of the dashboards shows something when all is well."""
import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "grafana" / "dashboards"
# What Grafana puts in place of its variables, for a service that has run for some minutes.
STAND_INS = {"$__rate_interval": "15s", "$__range": "1h", "$__interval": "1s", "$namespace": ".*", "$job": "deed"}


def queries():
    """Dashboard, panel, and every query."""
    for file in sorted(FOLDER.glob("*.json")):
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                query = target["expr"]
                for variable, value in STAND_INS.items():
                    query = query.replace(variable, value)
                yield board["title"], f"{panel['title']} ({target['refId']})", query


def empty(prometheus, since):
    """How many queries there are, and those that have given nothing since a time. Alerts have nothing to show while all is well."""
    asked = [each for each in queries() if "ALERTS" not in each[2]]
    found = [f"{board}: {panel}: {query}" for board, panel, query in asked if not prometheus.seen(query, since)]
    return len(asked), found
