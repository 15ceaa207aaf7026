#!/usr/bin/env python3
"""Says what is in the image, as CycloneDX: the crates that are in the executable, by the list that `cargo auditable` has
put into it, and the Debian packages whose files lie beside it.

    sbom.py EXECUTABLE ROOT
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from datetime import datetime, timezone
from urllib.parse import quote


def crates(executable):
    """The list within the executable."""
    told = subprocess.run(["auditable2cdx", executable], check=True, capture_output=True, text=True)
    return json.loads(told.stdout)


def packages(root):
    """The packages whose records are in the image."""
    system = dict(line.split("=", 1) for line in (root / "usr/lib/os-release").read_text().splitlines())
    distro = f"{system['ID']}-{system['VERSION_ID']}".replace('"', "")
    for record in sorted((root / "var/lib/dpkg/status.d").iterdir()):
        fields = dict(line.split(": ", 1) for line in record.read_text().splitlines() if ": " in line and line[0] != " ")
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={architecture}&distro={distro}"
        yield {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def main():
    executable, root = sys.argv[1], pathlib.Path(sys.argv[2])
    bom = crates(executable)
    debian = list(packages(root))
    bom["components"] = bom.get("components", []) + debian
    for component in [*bom["components"], bom.get("metadata", {}).get("component", {})]:
        # Crates of ours, which come from nowhere, are given an address that is none.
        component["purl"] = component.get("purl", "").replace("&download_url=redacted", "")
    # The same image gives the same list: no time but the commit's, no number drawn at random.
    bom.pop("serialNumber", None)
    commit = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    bom.setdefault("metadata", {})["timestamp"] = commit.strftime("%Y-%m-%dT%H:%M:%SZ")
    subject = bom["metadata"].get("component")
    if subject is not None:
        digest = hashlib.sha256(pathlib.Path(executable).read_bytes()).hexdigest()
        subject["hashes"] = [{"alg": "SHA-256", "content": digest}]
        for entry in bom.get("dependencies", []):
            if entry["ref"] == subject.get("bom-ref"):
                entry["dependsOn"] = entry.get("dependsOn", []) + [package["bom-ref"] for package in debian]
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


main()
