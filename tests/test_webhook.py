"""The webhook's body is read whole or refused with a reason, whatever it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.errors import DeliveryError
from drift_exporter.exchange import webhook
from drift_exporter.exchange.webhook import parse
from drift_exporter.incident import Alert

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "ModelDriftWidespread", "model": "churn", "severity": "critical"},
    "annotations": {"summary": "Much of the data drifts."},
    "startsAt": "2026-01-01T02:00:00.123456789+01:00",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "b5d4045c3f466fa9",
}
BODY: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}:{alertname="ModelDriftWidespread"}',
    "truncatedAlerts": 2,
    "status": "firing",
    "receiver": "drift-exporter",
    "groupLabels": {"alertname": "ModelDriftWidespread"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager",
    "alerts": [ALERT],
}
STARTS_AT = 1767229200.123456


def body(**changes: Any) -> bytes:
    """A body that is right but for these keys."""
    return json.dumps({**BODY, **changes}).encode()


def with_alert(**changes: Any) -> bytes:
    """A body with an alert that is right but for these keys; None leaves one out."""
    changed = {key: value for key, value in {**ALERT, **changes}.items() if value is not None}
    return body(alerts=[ALERT, changed])


def test_what_alertmanager_sends() -> None:
    """An alert comes with its times, labels and annotations; keys of later versions are let be."""
    ended = {**ALERT, "status": "resolved", "endsAt": "2026-01-01T03:00:00.5Z", "new": [1]}

    delivery = parse(body(alerts=[ALERT, ended], new={"deep": [{}]}))

    labels, annotations = ALERT["labels"], ALERT["annotations"]
    assert (delivery.truncated, delivery.receiver) == (2, "drift-exporter")
    assert delivery.alerts == (
        Alert(
            "b5d4045c3f466fa9",
            "ModelDriftWidespread",
            "churn",
            "firing",
            "critical",
            STARTS_AT,
            None,
            labels,
            annotations,
        ),
        Alert(
            "b5d4045c3f466fa9",
            "ModelDriftWidespread",
            "churn",
            "resolved",
            "critical",
            STARTS_AT,
            1767236400.5,
            labels,
            annotations,
        ),
    )


def test_alerts_that_name_nothing() -> None:
    """An alert without a model, a name or a fingerprint is kept; labels tell it from others."""
    bare = {"status": "firing", "labels": {}, "startsAt": ALERT["startsAt"]}
    other = {**bare, "labels": {"job": "node"}}

    first, again, second = parse(body(alerts=[bare, bare, other])).alerts

    assert (first.name, first.model, first.severity) == ("", "", "")
    assert first.key == again.key != second.key
    assert first.fingerprint.isalnum()


def test_no_alerts() -> None:
    """A delivery may be empty."""
    assert parse(body(alerts=[])).alerts == ()


DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("found", "why", "message"),
    [
        pytest.param(b"", "malformed", "Invalid JSON", id="nothing"),
        pytest.param(b"\xff\xfe\0", "malformed", "Invalid JSON", id="no text"),
        pytest.param(b'{"version": "4"', "malformed", "Invalid JSON", id="cut off"),
        pytest.param(b"null", "malformed", "the body", id="null"),
        pytest.param(b"[]", "malformed", "the body", id="a list"),
        pytest.param(b"{}", "malformed", "version: Field required", id="no version"),
        pytest.param(body(version="3"), "version", "version '3', expected '4'", id="version 3"),
        pytest.param(body(version="1" * 999), "version", "has version '1", id="long version"),
        pytest.param(body(version=4), "malformed", "version: ", id="version as a number"),
        pytest.param(b'{"version": "5", "alerts": 7}', "version", "'5'", id="of a later form"),
        pytest.param(b'{"version": "4"}', "malformed", "alerts: Field required", id="no alerts"),
        pytest.param(body(alerts={}), "malformed", "alerts: ", id="alerts as a mapping"),
        pytest.param(body(alerts=[7]), "malformed", "alerts.0: ", id="alert as a number"),
        pytest.param(DEEP, "malformed", "Invalid JSON", id="deep"),
        pytest.param(
            b'{"version": "4", "alerts": [], "x": ' + DEEP, "malformed", "Invalid JSON", id="deep x"
        ),
        pytest.param(
            b'{"version":"4","alerts":[{"labels":' + b'{"a":' * 100_000,
            "malformed",
            "Invalid JSON",
            id="deep labels",
        ),
        pytest.param(with_alert(status="on"), "malformed", "alerts.1.status", id="status"),
        pytest.param(with_alert(status=None), "malformed", "alerts.1.status", id="no status"),
        pytest.param(with_alert(labels=None), "malformed", "alerts.1.labels", id="no labels"),
        pytest.param(with_alert(labels={"a": 1}), "malformed", "alerts.1.labels.a", id="label"),
        pytest.param(with_alert(labels=["a"]), "malformed", "alerts.1.labels", id="label list"),
        pytest.param(with_alert(annotations={"a": {}}), "malformed", "annotations.a", id="notes"),
        pytest.param(with_alert(startsAt=None), "malformed", "alerts.1.startsAt", id="no start"),
        pytest.param(with_alert(startsAt=1e9), "malformed", "alerts.1.startsAt", id="number"),
        pytest.param(with_alert(startsAt="noon"), "malformed", "alerts.1.startsAt", id="no time"),
        pytest.param(
            with_alert(startsAt="2026-01-01T00:00:00"), "malformed", "alerts.1.startsAt", id="zone"
        ),
        pytest.param(
            with_alert(startsAt="0001-01-01T00:00:00Z"), "malformed", "between 1970", id="year 1"
        ),
        pytest.param(
            with_alert(startsAt="0001-01-01T00:00:00+12:00"),
            "malformed",
            "between 1970",
            id="before",
        ),
        pytest.param(
            with_alert(startsAt="9999-12-31T23:59:59-14:00"),
            "malformed",
            "and 9999",
            id="year 10000",
        ),
        pytest.param(with_alert(endsAt="9" * 99), "malformed", "alerts.1.endsAt", id="end"),
        pytest.param(with_alert(fingerprint="a b"), "malformed", "fingerprint", id="fingerprint"),
        pytest.param(with_alert(fingerprint="a\0"), "malformed", "fingerprint", id="NUL"),
        pytest.param(with_alert(fingerprint=7), "malformed", "fingerprint", id="a number"),
        pytest.param(with_alert(fingerprint="f" * 65), "malformed", "fingerprint", id="long"),
        pytest.param(body(truncatedAlerts=-1), "malformed", "truncatedAlerts", id="truncated"),
        pytest.param(body(alerts=[ALERT] * 20_001), "too_large", "at most 20000", id="alerts"),
        pytest.param(
            with_alert(labels={"a": "x" * 4097}), "too_large", "at most 4096", id="label's length"
        ),
        pytest.param(
            with_alert(labels={"x" * 257: ""}), "too_large", "at most 256", id="name's length"
        ),
        pytest.param(
            with_alert(labels={str(i): "" for i in range(101)}),
            "too_large",
            "at most 100",
            id="many labels",
        ),
        pytest.param(
            with_alert(annotations={"a": "x" * 65_537}), "too_large", "65536", id="annotation"
        ),
        pytest.param(
            b" " * (webhook.MAX_BODY_BYTES + 1), "too_large", "max_alerts", id="body's size"
        ),
    ],
)
def test_refused(found: bytes, why: str, message: str) -> None:
    """What is not of version 4, is too large or is no such body is refused, in few words."""
    with pytest.raises(DeliveryError, match=message) as caught:
        parse(found)

    assert (caught.value.why, caught.value.reason) == (why, "delivery")
    assert len(str(caught.value)) < 400


def test_a_refusal_quotes_no_values() -> None:
    """What a body says is not told again, as a label may hold what nobody should read."""
    secret = with_alert(labels={"model": ["tops3cret"]}, startsAt="tops3cret")

    with pytest.raises(DeliveryError) as caught:
        parse(secret)

    assert "tops3cret" not in str(caught.value)


def read(found: bytes) -> int | str:
    """How many alerts a body has, or why it is refused."""
    try:
        return len(parse(found).alerts)
    except DeliveryError as error:
        return error.why


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.sampled_from([*ALERT, "x"]), json_values)
def test_any_value_in_an_alert(key: str, value: object) -> None:
    """An alert with whatever in one of its keys is read or refused, and nothing else happens."""
    assert read(with_alert(**{key: value})) in (2, "malformed", "too_large")


@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """A body with bytes changed, lost or doubled is read or refused."""
    sent = bytearray(body())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(sent) - 1))
        sent[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert read(bytes(sent)) in (0, 1, "malformed", "too_large", "version")
