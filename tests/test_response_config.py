"""The config of the response: what an action needs, who approves, and what does not go together."""

from typing import Any

import pytest
from pydantic import ValidationError

from drift_exporter.analysis import Classification
from drift_exporter.config.access import ROLES, Access, may
from drift_exporter.config.action import Action
from drift_exporter.config.response import Response
from drift_exporter.config.when import CLASSIFICATIONS

HTTP = {"name": "call", "kind": "http", "url": "https://ci.example.com/hook"}

KINDS: dict[str, dict[str, Any]] = {
    "http": HTTP,
    "github_repository_dispatch": {"kind": "github_repository_dispatch", "repository": "o/r"},
    "github_workflow_dispatch": {
        "kind": "github_workflow_dispatch",
        "repository": "o/r",
        "workflow": "train.yml",
        "ref": "main",
    },
    "gitlab_pipeline": {"kind": "gitlab_pipeline", "project": "ml/credit", "ref": "main"},
    "airflow_dag_run": {"kind": "airflow_dag_run", "url": "https://air.example.com", "dag": "d"},
    "grafana_annotation": {"kind": "grafana_annotation", "url": "https://grafana.example.com"},
}


def _action(**keys: Any) -> Action:
    return Action.model_validate({"name": "a", **keys})


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_needs_what_it_calls(kind: str) -> None:
    """A kind with its needed keys is an action; without any of them it is none."""
    keys = KINDS[kind]

    assert _action(**keys).kind == kind
    for key in set(keys) - {"name", "kind"}:
        with pytest.raises(ValidationError, match=f"expected {key}, as the kind needs it"):
            _action(**{k: v for k, v in keys.items() if k != key})


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        pytest.param("http", {"dag": "d"}, "no dag, but one of accepts", id="another kind's key"),
        pytest.param("gitlab_pipeline", {"body": "{}"}, "no body", id="a body where it is given"),
        pytest.param("http", {"approvals": []}, "at least one group, or automatic", id="nobody"),
        pytest.param(
            "http", {"automatic": True, "approvals": ["ds"]}, "no approvals", id="automatic, asked"
        ),
        pytest.param("http", {"approvals": [""] * 6}, "at most 5 approvals", id="a crowd"),
        pytest.param(
            "http",
            {"retrain": True, "when": {"on": ["opened"]}},
            "retrained only when it is known",
            id="retraining before the analysis",
        ),
        pytest.param(
            "http",
            {"retrain": True, "when": {"classifications": ["data_quality"]}},
            "no data_quality",
            id="retraining on bad data",
        ),
        pytest.param(
            "grafana_annotation",
            {"retrain": True, "approvals": []},
            "at least one group",
            id="a retraining is never harmless",
        ),
        pytest.param(
            "http",
            {"when": {"classifications": ["covariat_shift"]}},
            "one of data_quality, covariate_shift",
            id="a classification that is none",
        ),
        pytest.param("http", {"url": "ftp://h/x"}, "must be http", id="another scheme"),
        pytest.param("http", {"url": "https://ann:pw@h/x"}, "without user", id="a password"),
        pytest.param("http", {"url": "https://"}, "must be http", id="no host"),
        pytest.param("http", {"url": "https://h/?api_key=x"}, "api_key", id="a key in the address"),
        pytest.param("http", {"headers": {"X-Api-Key": "s"}}, "secret_headers", id="an API key"),
        pytest.param("http", {"headers": {"Cookie": "s"}}, "secret_headers", id="an open secret"),
        pytest.param("http", {"headers": {"X": "a\nb"}}, "printable ASCII", id="a line break"),
        pytest.param("http", {"headers": {"a b": "c"}}, "header that is not ours", id="no name"),
        pytest.param(
            "http", {"headers": {"Idempotency-Key": "1"}}, "not ours", id="our own header"
        ),
        pytest.param(
            "http",
            {"token_env": "T", "secret_headers": {"authorization": {"env": "X"}}},
            "each header once",
            id="two authorizations",
        ),
        pytest.param("http", {"token_env": "T", "token_file": "f"}, "not both", id="two tokens"),
        pytest.param("http", {"token_env": "gh-token"}, "not what it holds", id="a token itself"),
        pytest.param("http", {"secret_headers": {"X": {}}}, "a file or", id="an empty secret"),
        pytest.param(
            "http", {"url_secret": {"env": "X"}}, "in url, once", id="a secret without its place"
        ),
        pytest.param(
            "http",
            {"url": "https://{secret}/x", "url_secret": {"env": "X"}},
            "behind the host",
            id="a secret that chooses the host",
        ),
        pytest.param(
            "http",
            {"url": "https://h/{secret}/{secret}", "url_secret": {"env": "X"}},
            "once",
            id="a secret in two places",
        ),
        pytest.param(
            "http", {"url": "https://h/{secret}"}, "a file or env", id="a place without its secret"
        ),
        pytest.param("http", {"accepts": [200]}, "greater than or equal", id="200 is done anyway"),
        pytest.param("grafana_annotation", {"panel": 2}, "dashboard beside it", id="a panel alone"),
        pytest.param(
            "github_repository_dispatch", {"repository": "o"}, "owner/name", id="no owner"
        ),
        pytest.param(
            "github_workflow_dispatch",
            {"inputs": {f"i{n}": "" for n in range(11)}},
            "at most 10",
            id="more inputs than GitHub takes",
        ),
        pytest.param("airflow_dag_run", {"inputs": {"key": "k"}}, "given along anyway", id="ours"),
        pytest.param("http", {"retries": 11}, "less than or equal", id="many retries"),
        pytest.param("http", {"per_day": 0}, "greater than", id="no budget"),
        pytest.param("http", {"when": {"on": []}}, "at least 1", id="on nothing"),
    ],
)
def test_what_does_not_go_together_is_named(kind: str, keys: dict[str, Any], message: str) -> None:
    """A wrong action is refused with a reason that says what to do."""
    with pytest.raises(ValidationError, match=message):
        _action(**{**KINDS[kind], **keys})


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"headers": {"Authorization": "Bearer hunter2"}}, id="a header"),
        pytest.param({"url": "https://ann:hunter2@h/x"}, id="a URL"),
        pytest.param({"url": "https://h/x?access_token=hunter2"}, id="a URL's parameter"),
        pytest.param({"headers": {"X-Auth": "hunter2"}}, id="a header that looks like one"),
        pytest.param({"token_env": "hunter2 "}, id="a token for a name"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_quoted(keys: dict[str, Any]) -> None:
    """The error of a secret that stands where it must not does not show it."""
    with pytest.raises(ValidationError) as caught:
        _action(**{**HTTP, **keys})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "keys", "needs"),
    [
        pytest.param("http", {}, ("",), id="one approver by default"),
        pytest.param("http", {"automatic": True}, (), id="none where the config says so"),
        pytest.param("http", {"approvals": ["ds", "clinic"]}, ("ds", "clinic"), id="two groups"),
        pytest.param("http", {"approvals": ["ds", "ds"]}, ("ds", "ds"), id="two of one group"),
        pytest.param("http", {"retrain": True}, ("",), id="a retraining is proposed"),
        pytest.param("grafana_annotation", {}, (), id="an annotation is harmless"),
        pytest.param("grafana_annotation", {"approvals": ["x"]}, ("x",), id="unless asked for"),
        pytest.param("grafana_annotation", {"retrain": True}, ("",), id="or called a retraining"),
    ],
)
def test_who_must_approve(kind: str, keys: dict[str, Any], needs: tuple[str, ...]) -> None:
    """Whatever changes something needs an approval, unless the config says automatic."""
    assert _action(**{**KINDS[kind], **keys}).needs == needs


def test_the_classifications_are_those_of_the_analysis() -> None:
    """The config knows every name that the analysis gives, and no other."""
    assert set(CLASSIFICATIONS) == {str(one) for one in Classification}


@pytest.mark.parametrize(
    ("role", "wanted", "allowed"),
    [(role, wanted, i >= j) for i, role in enumerate(ROLES) for j, wanted in enumerate(ROLES)]
    + [("stranger", "viewer", False)],
)
def test_roles_are_ordered(role: str, wanted: str, allowed: bool) -> None:
    """A viewer looks, a responder also acts, an approver also approves; a stranger does nothing."""
    assert ROLES == ("viewer", "responder", "approver")
    assert may(role, wanted) is allowed


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        pytest.param([{"name": "a"}], "a file or an environment variable", id="no token"),
        pytest.param(
            [{"name": "a", "token_env": "A"}, {"name": "A", "token_env": "B"}],
            "a name that no other token has",
            id="one person, two tokens",
        ),
        pytest.param(
            [{"name": "a", "token_env": "A", "groups": ["ds"]}], "no groups", id="idle groups"
        ),
        pytest.param(
            [{"name": "a", "token_env": "A", "role": "approver", "groups": [""]}],
            "the name of a group",
            id="the group of nobody",
        ),
        pytest.param([{"name": "a", "token": "s3cret"}], "Extra inputs", id="the token itself"),
    ],
)
def test_a_token_is_named_once_and_never_written_down(
    tokens: list[dict[str, Any]], message: str
) -> None:
    """Who holds a token is in the config, the token is not."""
    with pytest.raises(ValidationError, match=message) as caught:
        Access.model_validate({"tokens": tokens})

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param({"actions": [HTTP, HTTP]}, "no other action has", id="a name twice"),
        pytest.param({"public_url": "https://h/?q=1"}, "must be http", id="a query"),
        pytest.param({"public_url": "h:10033"}, "must be http", id="no scheme"),
        pytest.param({"resolve_within": {"high": "10m"}}, "more than ack", id="over before seen"),
    ],
)
def test_a_wrong_response_is_refused(keys: dict[str, Any], message: str) -> None:
    """What all actions share is checked too."""
    with pytest.raises(ValidationError, match=message):
        Response.model_validate(keys)


def test_times_follow_the_tier() -> None:
    """A tier that is not named keeps its default."""
    response = Response.model_validate({"acknowledge_within": {"high": "5m"}})

    assert response.acknowledge_within.high.seconds == 300
    assert response.acknowledge_within.medium.seconds == 3600
    assert response.resolve_within.low.seconds == 7 * 86400


COMMON = [
    "name",
    "kind",
    "when",
    "retrain",
    "automatic",
    "approvals",
    "expires",
    "dry_run",
    "cooldown",
    "per_day",
    "timeout",
    "retries",
    "backoff",
    "after_unknown",
    "token_file",
    "token_env",
    "secret_headers",
    "ca_file",
]

OWN = {
    "http": "url url_secret method headers body accepts",
    "github_repository_dispatch": "url repository event_type inputs",
    "github_workflow_dispatch": "url repository workflow ref inputs",
    "gitlab_pipeline": "url project ref inputs",
    "airflow_dag_run": "url dag api inputs",
    "grafana_annotation": "url dashboard panel tags text",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_belongs_to_some_kinds_or_to_all(kind: str) -> None:
    """A kind takes its own keys and the common ones, and refuses those of other kinds."""
    others = set(Action.model_fields) - set(COMMON) - set(OWN[kind].split())

    assert set(COMMON) | set(" ".join(OWN.values()).split()) == set(Action.model_fields)
    for key in others:
        default = Action.model_fields[key].get_default(call_default_factory=True)
        with pytest.raises(ValidationError, match=f"no {key}, but one of"):
            _action(**{**KINDS[kind], key: default})
    for key in OWN[kind].split():
        default = Action.model_fields[key].get_default(call_default_factory=True)
        _action(**{key: default, **KINDS[kind]})
