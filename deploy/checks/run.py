#!/usr/bin/env python3
"""Checks everything under deploy/ that can be checked without a cluster or a container engine, and then the check itself.

Run by run.sh, which installs what it needs.
"""
import sys
import time

import alerts
import dashboards
import executable
import fit
import machine
import manifests
import references
import schemas
import security
import spoiled
import spoiled_alerts
import stand


def of(documents, overlay, running):
    """Everything that is wrong with an overlay."""
    yield from schemas.problems(documents)
    yield from security.problems(documents, overlay)
    yield from references.problems(documents, references.documentation())
    yield from fit.problems(documents, running)


def main():
    begun = time.monotonic()
    found, counted = [], 0
    with executable.operations_port() as running:
        rendered = {overlay: manifests.render(overlay) for overlay in manifests.OVERLAYS}
        for overlay, documents in rendered.items():
            counted += len(documents)
            found += [f"{overlay}: {problem}" for problem in of(documents, overlay, running)]
        found += machine.problems()
        found += alerts.problems()
        found += dashboards.problems()
        found += stand.problems()
        if not found:
            found, spoilt = spoiled.unnoticed(rendered["production"], lambda d: of(d, "production", running))
            for unnoticed in (spoiled_alerts.unnoticed, dashboards.unnoticed, stand.unnoticed):
                missed, more = unnoticed()
                found, spoilt = found + missed, spoilt + more
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        raise SystemExit(f"deploy: {len(found)} problems")
    unchecked = ", ".join(sorted(kind.rsplit("/", 1)[1] for kind in schemas.UNCHECKED))
    print(f"deploy: {counted} objects are sound (but no schema for {unchecked}), {spoilt} spoiled ones were noticed, "
          f"{time.monotonic() - begun:.0f} s")


main()
