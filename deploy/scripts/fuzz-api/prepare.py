"""Gets a running service ready for the tester: `prepare.py HOME [CONTRACTS]` makes apps, takes the OpenAPI documents out of
the Markdown files of a folder, and writes what the shell is to know.
"""

import json
import pathlib
import re
import shlex
import sys
import urllib.request

APPS = 3


def app(url, key):
    """The id of a new app."""
    body = json.dumps({"name": "fuzzed"}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/apps", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["app_id"]


def contracts(folder, to):
    """Writes the fenced YAML of every Markdown file to a file of its own."""
    found = 0
    for page in sorted(pathlib.Path(folder).glob("*.md")):
        for fence, document in re.findall(r"^(`{3,})ya?ml[^\n]*\n(.*?)^\1", page.read_text(), re.M | re.S):
            if re.search(r"^openapi:", document, re.M):
                to.mkdir(exist_ok=True)
                (to / f"{page.stem}.yaml").write_text(document)
                found += 1
    if not found:
        sys.exit(f"{folder} has no Markdown file with an OpenAPI document")


def main():
    home = pathlib.Path(sys.argv[1])
    told = json.loads((home / "told.json").read_text())
    url, key = told["urls"]["api"], told["keys"]["ws_acme"]
    if len(sys.argv) > 2 and sys.argv[2]:
        contracts(sys.argv[2], home / "contracts")
    apps = " ".join(app(url, key) for _ in range(APPS))
    for name, value in {"url": url, "key": key, "DEED_FUZZ_APPS": apps}.items():
        print(f"{name}={shlex.quote(value)}")


main()
