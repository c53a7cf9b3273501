"""What changed from one run to the next, as the audit log tells it.

Pure: two snapshots in, JSON-able mappings out.
"""

from collections.abc import Mapping
from typing import Any

from drift_exporter.snapshot import Snapshot
from drift_exporter.verdicts.verdict import State

MOST_TOLD = 200
"""Columns of a window that are told by name; a fleet-wide change is one entry, not a book."""


def verdict_changes(before: Snapshot, after: Snapshot) -> Mapping[str, Any] | None:
    """Verdicts that differ between two snapshots of a model, by window; None where none does.

    Of a window that was not there before, only what is not ok is a change.
    """
    known = {window.window: window for window in before.windows}
    windows: dict[str, Any] = {}
    for window in after.windows:
        old = known.get(window.window)
        states = (
            dict(zip((f.name for f in before.features), old.verdicts, strict=True)) if old else {}
        )
        changed = {}
        for feature, verdict in zip(after.features, window.verdicts, strict=True):
            then = states.get(feature.name)
            was = then.state if then else State.OK
            if verdict.state is not was:
                told = {"from": str(was), "to": str(verdict.state)}
                why = verdict.statistic or str(verdict.reason or "")
                changed[feature.name] = {**told, "why": why} if why else told
        if changed:
            first = dict(list(changed.items())[:MOST_TOLD])
            windows[window.window] = {
                "end": window.end,
                "rows": window.rows,
                "changed": len(changed),
                "columns": first,
            }
    return {"windows": windows, "reference": after.reference_hash} if windows else None
