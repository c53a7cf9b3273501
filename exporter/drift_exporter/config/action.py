"""An action: what is done about an incident, on which incidents, and who must approve it.

Knows keys, defaults and what does not go together; never a request, a secret or a clock.
"""

import re
from math import inf
from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from drift_exporter.config.access import Variable
from drift_exporter.config.basics import (
    AnyDuration,
    Duration,
    Model,
    ModelName,
    Names,
    PositiveDuration,
    wrong,
)
from drift_exporter.config.when import DATA_QUALITY, When

Kind = Literal[
    "http",
    "github_repository_dispatch",
    "github_workflow_dispatch",
    "gitlab_pipeline",
    "airflow_dag_run",
    "grafana_annotation",
]

HARMLESS: frozenset[str] = frozenset({"grafana_annotation"})
"""Kinds that change nothing but a picture: they need no approval unless one is asked for."""

_NEEDED: dict[str, tuple[str, ...]] = {
    "http": ("url",),
    "github_repository_dispatch": ("repository",),
    "github_workflow_dispatch": ("repository", "workflow", "ref"),
    "gitlab_pipeline": ("project", "ref"),
    "airflow_dag_run": ("url", "dag"),
    "grafana_annotation": ("url",),
}
_ALLOWED: dict[str, tuple[str, ...]] = {
    "http": ("url_secret", "method", "headers", "body", "accepts"),
    "github_repository_dispatch": ("url", "event_type", "inputs"),
    "github_workflow_dispatch": ("url", "inputs"),
    "gitlab_pipeline": ("url", "inputs"),
    "airflow_dag_run": ("api", "inputs"),
    "grafana_annotation": ("dashboard", "panel", "tags", "text"),
}
_OF_A_KIND = sorted({key for keys in (*_NEEDED.values(), *_ALLOWED.values()) for key in keys})
_URLS = {
    "github_repository_dispatch": "https://api.github.com",
    "github_workflow_dispatch": "https://api.github.com",
    "gitlab_pipeline": "https://gitlab.com",
}
_MOST_INPUTS = {"github_repository_dispatch": 8, "github_workflow_dispatch": 10}
_OWN_INPUTS = dict.fromkeys(("github_repository_dispatch", "airflow_dag_run"), ("incident", "key"))
_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_OURS = ("idempotency-key", "content-length", "host", "transfer-encoding")
_TELLING = r"auth|cookie|key|passw|secret|signature|token"
"""What stands in the name of a header or of a parameter whose value is a secret."""

PLACEHOLDER = "{secret}"
"""What stands in an address for the part that is secret."""

_MOST_APPROVALS = 5


class Secret(Model):
    """Where a secret is kept."""

    file: str | None = None
    """File that holds it, on one line; read each time that it is sent."""

    env: Variable | None = None
    """Environment variable that holds it, instead of `file`."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.file and self.env:
            raise wrong("file or env, not both", self.env, "env")
        if not self.file and not self.env:
            raise wrong("a file or an environment variable", None, "file")
        return self


class Action(Model):
    """Something that is done about an incident: a request to another system."""

    name: ModelName
    """Name of the action; in the timeline, in metrics and in the audit log."""

    kind: Kind
    """What is called: `http` is any API, of Argo Events or Kubernetes too."""

    when: When = When()
    """Which incidents it answers."""

    retrain: bool = Field(default=False, strict=True)
    """Whether it trains the model anew. It is then never done on `data_quality`, and never where
    the analysis has told or found nothing."""

    automatic: bool = Field(default=False, strict=True)
    """Whether it is done without any approval."""

    approvals: tuple[str, ...] | None = None
    """Who must approve: a group for each person that is needed, `""` for any approver. By default
    one approver, none for a Grafana annotation. One person fills one place."""

    expires: PositiveDuration = Duration(86400, "24h")
    """How long it can be approved and sent, from when it was asked for."""

    dry_run: bool = Field(default=False, strict=True)
    """Whether all is done but the sending."""

    cooldown: AnyDuration | None = None
    """How long it is not asked for again for the same model; by default `1h`, none for a Grafana
    annotation."""

    per_day: PositiveInt | None = None
    """How often it may be asked for in 24 hours, for all models; by default 10, without limit for
    a Grafana annotation."""

    timeout: PositiveDuration = Duration(10, "10s")
    """Longest wait for a connection, and for each part of the answer."""

    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often it is tried again where it surely was not done: no connection, or the answer
    429 or 503. With `after_unknown: resend` also after lost answers, 500, 502 and 504."""

    backoff: AnyDuration = Duration(1, "1s")
    """Wait before the first retry; it doubles with each, to a minute at most. A receiver that asks
    to wait longer (`Retry-After`) is waited for, up to a minute; above that it is given up."""

    after_unknown: Literal["manual", "resend"] = "manual"
    """What follows where nobody knows whether it was done: a person looks (`manual`), or it is sent
    again with the same key (`resend`), for receivers that know a key again: Airflow does, GitHub
    and GitLab do not."""

    token_file: str | None = None
    """File that holds the token, on one line; read each time that it is sent. A bearer token, for
    `gitlab_pipeline` the trigger token."""

    token_env: Variable | None = None
    """Environment variable that holds the token, instead of `token_file`."""

    secret_headers: dict[str, Secret] = Field(default_factory=dict)
    """Headers whose values are secret, by name."""

    ca_file: str | None = None
    """File of the authorities that the receiver's certificate is checked with; by default the
    usual ones."""

    url: str = ""
    """Address for `http`, base address for the others (`https://airflow.internal`). No secret may
    stand in it: it is shown and recorded. `{secret}` in that of `http` stands for `url_secret`."""

    url_secret: Secret | None = None
    """The part of the address that is secret, for receivers that know no other token
    (`https://hooks.example.com/{secret}`)."""

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    """Method of `http`."""

    headers: dict[str, str] = Field(default_factory=dict)
    """Further headers of `http`; no secrets."""

    body: str = ""
    """Body of `http`, a Jinja2 template that gives JSON; put values in with `{{ x | tojson }}`, or
    texts inside of quotes: they cannot end them. By default the incident as it is."""

    accepts: tuple[Annotated[int, Field(ge=300, le=499)], ...] = ()
    """Answers of `http` besides 2xx that mean done: 409 where the name is made from the key."""

    repository: str = ""
    """Repository of GitHub, `owner/name`."""

    event_type: str = "drift-incident"
    """Type of the `repository_dispatch` event."""

    workflow: str = ""
    """File name or id of the workflow of GitHub."""

    ref: str = ""
    """Branch or tag that is run, of GitHub or GitLab."""

    project: str = ""
    """Project of GitLab, `group/name` or its number."""

    dag: str = ""
    """Id of the DAG of Airflow."""

    api: Literal["v1", "v2"] = "v2"
    """Version of Airflow's REST API: `v2` of Airflow 3, `v1` of Airflow 2."""

    dashboard: str = ""
    """UID of Grafana's dashboard; by default the annotation is for all that ask for its tags."""

    panel: NonNegativeInt | None = None
    """Id of the dashboard's panel."""

    tags: Names = ("drift",)
    """Tags of the annotation, beside the model's name and the occasion."""

    text: str = ""
    """Text of the annotation, a Jinja2 template; by default the incident's title."""

    inputs: dict[str, str] = Field(default_factory=dict)
    """Values that are given along, Jinja2 templates by name: inputs of a workflow, variables of a
    pipeline, the `conf` of a DAG run, entries of `client_payload`."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        for key in _NEEDED[self.kind]:
            if not getattr(self, key):
                raise wrong(
                    f"{key}, as the kind needs it", None, key, beside="kind", value=self.kind
                )
        allowed = (*_NEEDED[self.kind], *_ALLOWED[self.kind])
        for key in _OF_A_KIND:
            if key in self.model_fields_set and key not in allowed:
                raise wrong(
                    f"no {key}, but one of {', '.join(sorted(allowed))}",
                    getattr(self, key),
                    key,
                    beside="kind",
                    value=self.kind,
                )
        if self.panel is not None and not self.dashboard:
            raise wrong("dashboard beside it", self.panel, "panel")
        for key in _OWN_INPUTS.get(self.kind, ()):
            if key in self.inputs:
                raise wrong("another name, as this is given along anyway", key, "inputs", key)
        most = _MOST_INPUTS.get(self.kind)
        if most is not None and len(self.inputs) > most:
            raise wrong(f"at most {most}, which is GitHub's limit", len(self.inputs), "inputs")
        return self

    @model_validator(mode="after")
    def _approved(self) -> Self:
        if self.automatic and self.approvals:
            raise wrong("no approvals, as it is automatic", list(self.approvals), "approvals")
        unattended = self.automatic or self.kind in HARMLESS
        if self.approvals == () and (not unattended or self.retrain):
            raise wrong("at least one group, or automatic: true", [], "approvals")
        if len(self.approvals or ()) > _MOST_APPROVALS:
            found = len(self.approvals or ())
            raise wrong(f"at most {_MOST_APPROVALS} approvals", found, "approvals")
        return self

    @model_validator(mode="after")
    def _retrains_on_knowledge(self) -> Self:
        if not self.retrain:
            return self
        if "opened" in self.when.on:
            raise wrong(
                "classified, as a model is retrained only when it is known what happened",
                "opened",
                "when",
                "on",
                self.when.on.index("opened"),
            )
        if DATA_QUALITY in self.when.classifications:
            raise wrong(
                "no data_quality, as retraining would learn the fault",
                DATA_QUALITY,
                "when",
                "classifications",
                self.when.classifications.index(DATA_QUALITY),
            )
        return self

    @model_validator(mode="after")
    def _secrets_apart(self) -> Self:
        if self.token_file and self.token_env:
            raise wrong("token_file or token_env, not both", self.token_env, "token_env")
        taken = {name.lower() for name in self.headers}
        if self.has_token and self.kind != "gitlab_pipeline":
            taken.add("authorization")
        for name in self.secret_headers:
            if name.lower() in taken:
                raise wrong("each header once, and the token as one", name, "secret_headers", name)
        return self

    @model_validator(mode="after")
    def _secret_in_its_place(self) -> Self:
        if self.url_secret is None:
            if self.kind == "http" and PLACEHOLDER in self.url:
                raise wrong(f"a file or env, for {PLACEHOLDER} in url", None, "url_secret")
        # Behind the host, which no secret may choose. The address is not quoted: it may be in it.
        elif self.url.count(PLACEHOLDER) != 1 or PLACEHOLDER in urlsplit(self.url).netloc:
            found = self.url_secret.file or self.url_secret.env
            raise wrong(f"{PLACEHOLDER} in url, once, behind the host", found, "url_secret")
        return self

    @field_validator("url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        match = re.fullmatch(r"https?://([^/?#\s]+)([/?][^#\s]*)?", value)
        if value and (match is None or "@" in match[1]):
            # Not quoted: a password may stand in it.
            raise ValueError(
                "must be http:// or https:// and a host, without user, password or #; "
                "give secrets as token_file, secret_headers or url_secret"
            )
        for name, text in parse_qsl(urlsplit(value).query):
            if re.search(_TELLING, name, re.IGNORECASE) and text != PLACEHOLDER:
                # The address is shown to whoever approves, and kept in the audit log.
                raise ValueError(
                    f"the parameter {name} of the address looks like a secret, and addresses are "
                    "shown; give secrets as token_file, secret_headers or url_secret"
                )
        return value

    @field_validator("headers", "secret_headers")
    @classmethod
    def _headers(cls, value: dict[str, object]) -> dict[str, object]:
        for name, text in value.items():
            if not re.fullmatch(_HEADER, name) or name.lower() in _OURS:
                raise wrong("the name of a header that is not ours", name, name)
            if isinstance(text, str) and re.search(_TELLING, name, re.IGNORECASE):
                # At the mapping, so that the secret itself is not quoted.
                raise wrong(f"{name} under secret_headers, or token_file", "a secret")
            if isinstance(text, str) and not re.fullmatch(r"[ -~]*", text):
                raise wrong("printable ASCII", text, name)
        return value

    @field_validator("repository")
    @classmethod
    def _owner_and_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", value):
            raise ValueError(f"found {value!r}, expected owner/name")
        return value

    @field_validator("inputs")
    @classmethod
    def _input_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
                raise wrong("letters, digits, _ and -", name, name)
        return value

    @property
    def needs(self) -> tuple[str, ...]:
        """A group for each approval that is needed, ``""`` for any approver."""
        if self.approvals is not None:
            return self.approvals
        return () if self.automatic or (self.kind in HARMLESS and not self.retrain) else ("",)

    @property
    def cooldown_seconds(self) -> float:
        """How long it is not asked for again for the same model."""
        if self.cooldown is not None:
            return self.cooldown.seconds
        return 0.0 if self.kind in HARMLESS else 3600.0

    @property
    def most_per_day(self) -> float:
        """How often it may be asked for in 24 hours; infinity without a limit."""
        if self.per_day is not None:
            return self.per_day
        return inf if self.kind in HARMLESS else 10

    @property
    def has_token(self) -> bool:
        """Whether a token is sent along."""
        return bool(self.token_file or self.token_env)

    @property
    def base_url(self) -> str:
        """The address, or that of the service itself, without a slash behind it."""
        return (self.url or _URLS.get(self.kind, "")).rstrip("/")
