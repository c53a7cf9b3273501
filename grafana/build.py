"""Writes the dashboards and their ConfigMaps: ``python -m grafana.build``.

With ``--check`` nothing is written: the exit code says whether what is committed is what the
code makes. Knows files; never what a board shows.
"""

import json
import sys
from pathlib import Path

from grafana.feature import feature
from grafana.fleet import fleet
from grafana.health import health
from grafana.incidents import incidents
from grafana.model import model
from grafana.parts import Json

HERE = Path(__file__).parent

CONFIGMAP = """\
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels:
    app.kubernetes.io/name: drift-exporter
    # What the dashboards' sidecar of the Grafana and kube-prometheus-stack charts looks for.
    grafana_dashboard: "1"
  annotations:
    grafana_folder: Model drift
data:
  {name}.json: |-
    {text}
"""


def dashboards() -> list[Json]:
    """All dashboards."""
    return [fleet(), model(), feature(), health(), incidents()]


def files() -> dict[Path, str]:
    """The text of every generated file."""
    made = dashboards()
    found = {
        HERE / "dashboards" / f"{board['uid']}.json": json.dumps(board, indent=2) + "\n"
        for board in made
    }
    configmaps = "".join(
        CONFIGMAP.format(name=board["uid"], text=json.dumps(board, separators=(",", ":")))
        for board in made
    )
    head = "# Written by `python -m grafana.build`: the dashboards for Grafana's sidecar.\n"
    found[HERE / "kubernetes" / "dashboards.yaml"] = head + configmaps
    return found


def main(arguments: list[str]) -> int:
    """Write the files, or tell which differ."""
    different = []
    for path, text in files().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        different.append(path.name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if different:
        said = "differ, run `python -m grafana.build`" if "--check" in arguments else "written"
        sys.stdout.write(f"{', '.join(different)}: {said}\n")
    return 1 if different and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
