"""Who may look, answer and approve: tokens and users by name, role and groups.

Knows names and where a token is kept; never the token or a password itself.
"""

import re
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from drift_exporter.config.basics import Model, ModelName, Names, wrong

Role = Literal["viewer", "responder", "approver"]

ROLES: tuple[str, ...] = get_args(Role)
"""Roles, the weaker first; each may do all that the ones before it may."""

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


def _checked_variable(value: str) -> str:
    if not re.fullmatch(_VARIABLE, value):
        # Not quoted: somebody may have put the secret itself here.
        raise ValueError("must be the name of an environment variable, not what it holds")
    return value


Variable = Annotated[
    str,
    AfterValidator(_checked_variable),
    Field(json_schema_extra={"pattern": f"^{_VARIABLE}$"}),
]
"""Name of an environment variable."""


class _Person(Model):
    """What is known of somebody, however they show who they are."""

    name: ModelName
    """Who it is: stands in the timeline, in approvals and in the audit log."""

    role: Role = "viewer"
    """What the holder may do: `viewer` looks, `responder` also acknowledges, notes, resolves,
    closes and asks for actions, `approver` also approves and rejects them."""

    groups: Names = ()
    """Groups that the holder approves for, such as `data-science`."""

    @model_validator(mode="after")
    def _groups_approve(self) -> Self:
        if self.groups and self.role != "approver":
            raise wrong(
                "no groups, as they count only where somebody approves",
                list(self.groups),
                "groups",
                beside="role",
                value=self.role,
            )
        return self

    @field_validator("groups")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for index, group in enumerate(value):
            if not group.strip():
                raise wrong("the name of a group", group, index)
        return value

    def may(self, role: Role) -> bool:
        """Whether the holder's role is this one or above it."""
        return may(self.role, role)


class User(_Person):
    """One person of the web config's `basic_auth_users`, with what they may do."""


class Token(_Person):
    """One person, or one program, that may use the API and the pages of incidents."""

    token_file: str | None = None
    """File that holds the token, on one line; read at start and reload."""

    token_env: Variable | None = None
    """Environment variable that holds the token, instead of `token_file`."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.token_file and self.token_env:
            raise wrong("token_file or token_env, not both", self.token_env, "token_env")
        if not self.token_file and not self.token_env:
            raise wrong("a file or an environment variable with the token", None, "token_file")
        return self


class Access(Model):
    """Who may use the API and the pages of incidents."""

    tokens: tuple[Token, ...] = ()
    """Who may, by token. Once there is a token or a user, incidents are shown to them alone;
    without any they are shown to all, and nobody can change them."""

    users: tuple[User, ...] = ()
    """Who may, by the user names of the web config's `basic_auth_users`. A token and a user of
    one name are one person."""

    webhook_token_file: str | None = None
    """File that holds the token which Alertmanager presents at `/alerts`, on one line; without
    it whoever reaches the exporter may send alerts. Read at start and reload."""

    @field_validator("tokens", "users")
    @classmethod
    def _names_once(cls, value: tuple[_Person, ...], info: ValidationInfo) -> tuple[_Person, ...]:
        # Nobody approves twice: two tokens of one name, however it is written, are one person.
        names = [person.name.casefold() for person in value]
        for index, name in enumerate(names):
            if name in names[:index]:
                what = str(info.field_name).removesuffix("s")
                raise wrong(f"a name that no other {what} has", value[index].name, index, "name")
        return value

    @model_validator(mode="after")
    def _one_person(self) -> Self:
        tokens = {token.name.casefold(): token for token in self.tokens}
        for index, user in enumerate(self.users):
            token = tokens.get(user.name.casefold(), user)
            if (token.role, set(token.groups)) != (user.role, set(user.groups)):
                raise wrong(
                    "the role and groups of the token of the same name",
                    user.name,
                    "users",
                    index,
                    "name",
                )
        return self

    @property
    def restricted(self) -> bool:
        """Whether incidents are shown to known people alone."""
        return bool(self.tokens or self.users)


def may(role: str, wanted: str) -> bool:
    """Whether a role is the wanted one or above it.

    Examples
    --------
    >>> may("approver", "responder"), may("viewer", "responder")
    (True, False)
    """
    return role in ROLES and ROLES.index(role) >= ROLES.index(wanted)
