"""A private Prometheus that looks every second, with the house's rules in a time that passes faster."""
import json
import math
import re
import threading
import time
import urllib.parse

from children import Child, Failed, free_port, wait_for
from place import request

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
DURATION = r"(?:\d+(?:ms|[smhdwy]))+"


def seconds(duration):
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def faster(text, scale):
    """The text of rules with every window, offset, waiting time and interval divided; what is compared stays as it is."""
    def shorter(found):
        return f"{found[1]}{max(1, round(seconds(found[2]) / scale * 1000))}ms{found[3]}"

    text = re.sub(rf"(\[)({DURATION})(\])", shorter, text)
    text = re.sub(rf"(\boffset )({DURATION})()", shorter, text)
    return re.sub(rf"(?m)^(\s*(?:for|interval|keep_firing_for): )({DURATION})(\s*)$", shorter, text)


class Prometheus:
    """The server, and what it is asked."""

    def __init__(self, folder, rules, scale, members):
        self.folder, self.scale = folder, scale
        self.url = f"http://127.0.0.1:{free_port()}"
        (folder / "rules").mkdir()
        for file in sorted(rules.glob("*.yaml")):
            (folder / "rules" / file.name).write_text(faster(file.read_text(), scale))
        # JSON is YAML.
        (folder / "prometheus.yaml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "rules" / "*.yaml")],
            "scrape_configs": [{"job_name": "deed", "static_configs": [{"targets": [f"127.0.0.1:{m.ops}" for m in members]}]}],
        }))
        self.start()

    def start(self):
        self.child = Child("prometheus", [
            "prometheus", f"--config.file={self.folder}/prometheus.yaml", f"--storage.tsdb.path={self.folder}/tsdb",
            f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn",
        ], self.folder / "prometheus.log")
        wait_for("Prometheus", lambda: request("GET", f"{self.url}/-/ready")[0] == 200)

    def get(self, path, **arguments):
        status, answer = request("GET", f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}")
        if status == 0:
            raise Failed("Prometheus does not answer")
        if status != 200:
            raise Failed(f"Prometheus: {arguments}: {answer and answer.get('error')}")
        return answer["data"]

    def values(self, query):
        """The values of a query now, by their labels; what is no number is nothing."""
        found = self.get("query", query=query)
        results = found["result"] if found["resultType"] == "vector" else [{"metric": {}, "value": found["result"]}]
        pairs = [(result["metric"], float(result["value"][1])) for result in results]
        return [(labels, value) for labels, value in pairs if not math.isnan(value)]

    def seen(self, query, since):
        """How many series a query has given, with a number in any, from a time until now."""
        now = time.time()
        found = self.get("query_range", query=query, start=since, end=now, step=max(1, (now - since) / 60))
        return sum(any(value != "NaN" for _, value in result["values"]) for result in found["result"])

    def rules(self):
        """Every alert's rule: name and severity, and how it stands."""
        groups = self.get("rules", type="alert")["groups"]
        return [(rule["name"], rule["labels"].get("severity", "none"), rule["state"], rule) for group in groups for rule in group["rules"]]

    def stop(self):
        self.child.stop()


class Watch(threading.Thread):
    """Keeps a diary of which alert was pending or firing from when to when."""

    def __init__(self, prometheus):
        super().__init__(daemon=True)
        self.prometheus, self.states, self.diary, self.over = prometheus, {}, [], threading.Event()
        self.trouble = None

    def run(self):
        while not self.over.wait(0.4):
            try:
                rules = self.prometheus.rules()
            except Failed as trouble:
                self.trouble = trouble
                continue
            now, states = time.monotonic(), {}
            for name, severity, state, _ in rules:
                worst = max((states.get((name, severity), "inactive"), state), key=("inactive", "pending", "firing").index)
                states[name, severity] = worst
            for alert, state in states.items():
                if self.states.get(alert, "inactive") != state:
                    self.diary.append((now, alert, state))
            self.states = states

    def state(self, alert):
        return self.states.get(alert, "inactive")

    def firing(self):
        return {alert for alert, state in self.states.items() if state == "firing"}

    def since(self, begun):
        """Alerts that began to fire after a moment."""
        return {alert for at, alert, state in self.diary if at >= begun and state == "firing"}
