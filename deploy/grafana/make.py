#!/usr/bin/env python3
"""Writes the dashboards into dashboards/, as Grafana takes them; run by `make generate`. deploy/checks compares."""
import json
import pathlib

import service
import verification
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"


def texts():
    """What every file has to be."""
    return {
        f"{name}.json": json.dumps(source.made(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for name, source in (("service", service), ("verification", verification))
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
