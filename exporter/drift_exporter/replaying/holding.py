"""How long an alert is held back, and held on: Prometheus' ``for`` and ``keep_firing_for``.

Pure: the evaluations at which an expression had a value in, the spans in which its alert fires
out. Knows no expression and no label. A test holds it equal to Prometheus.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
"""First and last of evaluations that follow each other."""


@dataclass(frozen=True)
class Patience:
    """How patient an alert is, counted in evaluations."""

    wait: int = 0
    """Evaluations from the first with a value to the one at which it fires."""

    keep: int = 0
    """Evaluations that it fires on, from the first without a value."""


def patience_of(wait_seconds: float, keep_seconds: float, evaluation_seconds: float) -> Patience:
    """The patience of a rule: what is no multiple of the evaluations' pace waits for the next.

    Examples
    --------
    >>> patience_of(90, 0, 60)
    Patience(wait=2, keep=0)
    """
    wait, keep = (-int(-span // evaluation_seconds) for span in (wait_seconds, keep_seconds))
    return Patience(wait, keep)


def firing(
    present: Sequence[Span], patience: Patience, last: int
) -> Iterator[tuple[int, int | None]]:
    """The spans in which an alert fires.

    Parameters
    ----------
    present
        Spans of evaluations at which the expression had a value, in order and apart.
    patience
        The rule's ``for`` and ``keep_firing_for``.
    last
        The last evaluation there is.

    Yields
    ------
    tuple
        The evaluation at which it fires, and the one at which it is resolved; None: it still
        fires at the last one.
    """
    begun: int | None = None
    end = 0
    for first, final in present:
        if begun is not None and end < first:
            yield begun, end
            begun = None
        if begun is None and first + patience.wait <= final:
            begun = first + patience.wait
        # Without a value an alert waits no longer, it begins anew.
        end = final + 1 + patience.keep
    if begun is not None:
        yield begun, end if end <= last else None


def added(spans: list[Span], first: int, last: int) -> None:
    """Put a span behind others that are all before it; what touches becomes one."""
    if spans and spans[-1][1] + 1 == first:
        spans[-1] = (spans[-1][0], last)
    else:
        spans.append((first, last))
