"""Whether the live stand (deploy/observe) makes every alert fire: each needs an outage."""
import sys

import alerts
from manifests import DEPLOY

sys.path.insert(0, str(DEPLOY / "observe"))


def problems(rules=None):
    """Alerts that no outage makes fire, and outages that wait for alerts that there are not."""
    import outages

    wanted = {alert for outage in outages.OUTAGES for alert in outage.alerts}
    known = {(rule["alert"], rule["labels"]["severity"]) for rule in (rules or alerts.Place().alerts())}
    yield from (f"observe/outages.py: no outage makes {name} fire as a {severity}" for name, severity in sorted(known - wanted))
    yield from (f"observe/outages.py: there is no alert {name} that is a {severity}" for name, severity in sorted(wanted - known))


def unnoticed():
    """An alert that nobody makes fire, and one that is gone, have to be noticed."""
    rules = alerts.Place().alerts()
    more = rules + [{"alert": "DeedForgotten", "labels": {"severity": "page"}}]
    missed = [] if any("DeedForgotten" in p for p in problems(more)) else ["the check of the stand does not notice an alert without an outage"]
    missed += [] if list(problems(rules[1:])) else ["the check of the stand does not notice an outage without an alert"]
    return missed, 2
