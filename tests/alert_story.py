"""Two deliveries and an analysis on a real store, that can be ended at every transaction.

As a program, ``alert_story.py FOLDER POINTS``, it tells it once per point in a process of its
own, which ends itself with SIGKILL there. The store of a point is in the folder of its number.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

from incident_desk import alert, body, room
from response_story import Reach, WatchedCases, count_to
from watched_model import SHIFTED, watched

DELIVERIES = (body([alert("age"), alert("city")]), body([alert("age"), alert("income")]))
"""They share an alert, as deliveries of one group do."""


def tell(folder: Path, reach: Reach = lambda _: None, first: int = 0) -> None:
    """The story, or what is left of it: deliveries from the given one on, then a round."""
    with room(folder) as found:
        model = watched(found, **SHIFTED)
        found.store.cases = WatchedCases(found.store._database, reach)
        for sent in DELIVERIES[first:]:
            found.desk.receive(sent, found.clock.now)
        model.round()


if __name__ == "__main__":
    FOLDER, POINTS = sys.argv[1:]
    for number in range(int(POINTS)):
        child = os.fork()
        if child == 0:
            kill = partial(os.kill, os.getpid(), signal.SIGKILL)
            tell(Path(FOLDER) / str(number), count_to(number, kill))
            os._exit(0)
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            sys.exit(f"the story came to its end before point {number}")
