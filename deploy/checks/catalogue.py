"""Every metric of the executable with its labels and their values, as docs/METRICS.md lists them from its registry."""
import functools
import re

from manifests import ROOT

METRICS = ROOT / "docs" / "METRICS.md"
# What Prometheus itself tells of every target.
OWN = {"up": {}}


@functools.cache
def read(path=METRICS):
    """Label by metric, and by label its values where they are listed. A histogram has three series of names."""
    known = dict(OWN)
    for row in rows(path.read_text()):
        name, labels = plain(row["name"]), of_cell(row["labels"])
        if plain(row["type"]) == "histogram":
            known |= {name + "_sum": labels, name + "_count": labels, name + "_bucket": labels | {"le": set()}}
        else:
            known[name] = labels
    return known


def rows(text):
    """The rows of all tables that have a metric in their first column, by the words of their heads."""
    head = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = [cell.lower() for cell in cells]
        elif re.fullmatch(r"`(deed|process)_\w+`", cells[0]):
            yield dict(zip(["name", *head[1:]], cells))


def plain(cell):
    return cell.strip("`")


def of_cell(cell):
    """`label` with its values after it, and a semicolon or a line's end between labels."""
    found = {}
    for part in re.split(r";|<br ?/?>", cell):
        words = re.findall(r"\w+", part)
        if words:
            found[words[0]] = set(words[1:])
    return found
