"""Every metric of the executable with its labels and their values, as docs/METRICS.md lists them from its registry."""
import functools
import re

from manifests import ROOT

METRICS = ROOT / "docs" / "METRICS.md"
# What Prometheus itself tells of every target.
OWN = {"up": {}}


@functools.cache
def read():
    """Every series by its name: its labels, and of each its values where they are listed. A histogram has three names."""
    known = dict(OWN)
    for name, (kind, labels) in families().items():
        if kind == "histogram":
            known |= {name + "_sum": labels, name + "_count": labels, name + "_bucket": labels | {"le": set()}}
        else:
            known[name] = labels
    return known


@functools.cache
def families():
    """Every metric by its name: its type and its labels."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", METRICS.read_text(), re.M)
    return {name: (kind, of_cell(labels)) for name, kind, labels in rows}


def of_cell(cell):
    """Labels with semicolons between, each with its values after a colon; values that are described are not listed."""
    found = {}
    for label, values in re.findall(r"`(\w+)`: ([^;]+)", cell):
        listed = re.fullmatch(r"`\w+`(, `\w+`)*", values.strip())
        found[label] = set(re.findall(r"\w+", values)) if listed else set()
    return found
