"""Event times of rows, and which of them are between two moments.

Knows no slice and no clock.
"""

import numpy as np
from numpy.typing import NDArray

from drift_exporter.reading.event_time import NO_TIME, Micros, event_micros
from drift_exporter.reading.found import Choice
from drift_exporter.reading.rows import Rows


def event_times(rows: Rows, timestamp: str) -> Micros:
    """The event time of each row, ``NO_TIME`` where there is none."""
    if timestamp not in rows.names:
        return np.full(rows.rows, NO_TIME, dtype=np.int64)
    parts = [
        event_micros(batch.columns[timestamp], loose=rows.loose)
        for batch in rows.batches([timestamp])
    ]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype=np.int64), *parts])


def between(micros: Micros, choice: Choice) -> NDArray[np.bool_]:
    """Which rows have a time, from the start of a choice on and before its stop."""
    chosen: NDArray[np.bool_] = micros != NO_TIME
    if choice.start is not None:
        chosen &= micros >= choice.start
    if choice.stop is not None:
        chosen &= micros < choice.stop
    return chosen
