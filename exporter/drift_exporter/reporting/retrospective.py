"""The retrospective of an incident: what the records tell, and what only people can.

Pure: facts in, sections out. It blames nobody: it asks about the system.
"""

from collections.abc import Iterator, Sequence

from drift_exporter.reporting.evidence import Evidence
from drift_exporter.reporting.facts import ActionFacts, AlertFacts, CaseFacts, Section, StepFacts
from drift_exporter.reporting.words import length, named, utc

_MOST_NOTES = 8


def retrospective(
    case: CaseFacts,
    alerts: Sequence[AlertFacts],
    timeline: Sequence[StepFacts],
    seen: Evidence | None,
) -> tuple[Section, ...]:
    """The sections of the template, filled as far as the records go."""
    return (
        Section(
            "What happened",
            tuple(_what(case, seen)),
            ("In two sentences for somebody who was not there: what happened?",),
        ),
        Section(
            "Impact",
            tuple(_impact(case, seen)),
            (
                "Which decisions were made on affected predictions, how many, and about whom?",
                "Was anybody harmed or treated unfairly? Are decisions to be looked at again?",
                "Is it a serious incident that has to be reported to a provider or an authority? "
                "Who decides that, and when was it decided?",
            ),
        ),
        Section(
            "Detection",
            tuple(_detection(case, alerts, seen)),
            (
                "Could it have been noticed earlier, and by what?",
                "Did anybody outside notice it before the alert did?",
            ),
        ),
        Section(
            "Causes",
            seen.notes[:_MOST_NOTES] if seen else (),
            (
                "What changed, in which system, and when?",
                "Why did nothing stop it before it reached the model?",
                "Was the analysis right? If not, what did it miss?",
            ),
        ),
        Section(
            "Response",
            tuple(_response(case, timeline)),
            ("What helped, what was in the way?", "Were the right people told, and in time?"),
        ),
        Section(
            "What follows",
            tuple(_successor(case)),
            (
                "What will be changed so that it does not happen again: what, by whom, until when?",
                "Are thresholds, the reference, the calibration (exclude this span?), alerts or "
                "runbooks to be changed?",
                "Is the risk assessment of the model to be updated?",
            ),
        ),
    )


def _what(case: CaseFacts, seen: Evidence | None) -> Iterator[str]:
    yield case.headline
    kind = named(case.classification) if case.classification else "not analysed"
    yield f"Model {case.model}, {case.severity}, {case.cause}; classified as {kind}."
    if seen and seen.recommendation:
        yield f"Recommended first: {seen.recommendation}"


def _impact(case: CaseFacts, seen: Evidence | None) -> Iterator[str]:
    ended = case.resolved
    lasted = f"for {length(case.to_resolve_seconds)}" if ended else "and is not over"
    yield f"It was known from {utc(case.opened)} {lasted}."
    if seen and seen.rows:
        yield f"The window that it was judged on had {seen.rows} rows."


def _detection(
    case: CaseFacts, alerts: Sequence[AlertFacts], seen: Evidence | None
) -> Iterator[str]:
    began = seen.since.start if seen and seen.since else None
    if began is not None:
        yield (
            f"By the counts it began at {utc(began)}; the alert fired {_after(case.opened, began)}."
        )
    if alerts:
        first = min(alerts, key=lambda alert: alert.starts_at)
        yield f"{first.name} fired first, at {utc(first.starts_at)}; {len(alerts)} alert(s) in all."
    if case.acknowledged is None:
        yield "Nobody acknowledged it."
    else:
        late = ", later than is asked for its tier" if case.acknowledged_late else ""
        yield (
            f"{case.acknowledged_by} acknowledged it after "
            f"{length(case.to_acknowledge_seconds)}{late}."
        )


def _after(then: float, began: float) -> str:
    word = "later" if then >= began else "before that"
    return f"{length(abs(then - began))} {word}"


def _response(case: CaseFacts, timeline: Sequence[StepFacts]) -> Iterator[str]:
    for action in case.actions:
        yield f"{action.name}: {told(action)}"
    for step in timeline:
        if step.kind in ("note", "mitigating") and step.text:
            yield f"{step.actor}, {utc(step.at)}: {step.text}"
    if case.resolved is not None:
        late = ", later than is asked for its tier" if case.resolved_late else ""
        yield f"Resolved after {length(case.to_resolve_seconds)}{late}."
    if case.flaps:
        yield f"It came back {case.flaps} time(s) after it had been resolved."
    if case.closed is not None:
        yield f"{case.closed_by} closed it at {utc(case.closed)}."


def told(action: ActionFacts) -> str:
    """What became of an action, in a line."""
    parts = [f"{named(action.state)} ({action.reason})" if action.reason else named(action.state)]
    for one in action.approvals:
        verb = "approved" if one.decision == "approve" else "rejected"
        note = f" ({one.note})" if one.note else ""
        parts.append(f"{verb} by {one.who}{note}")
    if action.status is not None:
        parts.append(f"the receiver answered {action.status}")
    elif action.answer:
        parts.append(action.answer)
    if action.dry_run:
        parts.append("a dry run")
    return "; ".join(parts)


def _successor(case: CaseFacts) -> Iterator[str]:
    found = case.successor
    if not found:
        return
    version = f"version {found['version']}, " if found.get("version") else ""
    at = found.get("at")
    when = f" at {utc(at)}" if isinstance(at, int | float) else ""
    why = f": {found['reason']}" if found.get("reason") else ""
    yield f"Promoted{when}: {version}profile {str(found.get('profile', ''))[:12]}{why}"
