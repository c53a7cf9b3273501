"""Who may use which route: the one table of it.

Pure: a method and a path as it is registered in, the need out. Knows no person and no request.
"""

from collections.abc import Mapping
from enum import StrEnum

from drift_exporter.incident import MOVES
from drift_exporter.web.any_path import ANYTHING

DECISIONS = ("approve", "reject")
OUTCOMES = ("succeeded", "failed")
"""What somebody may have found out about an action of unknown outcome."""


class Need(StrEnum):
    """What a request must show."""

    PUBLIC = "public"
    """Nothing beyond what the gate asks of all."""

    SENDER = "sender"
    """The token of the webhook, where the config has one."""

    LINK = "link"
    """A signed link: it says itself who may do what."""

    VIEWER = "viewer"
    RESPONDER = "responder"
    APPROVER = "approver"


API = "/api/v1"

NEEDS: Mapping[tuple[str, str], Need] = {
    ("GET", "/"): Need.PUBLIC,
    ("GET", "/-/healthy"): Need.PUBLIC,
    ("GET", "/-/ready"): Need.PUBLIC,
    ("POST", "/-/reload"): Need.PUBLIC,
    ("GET", "/probe"): Need.PUBLIC,
    ("GET", "/config"): Need.PUBLIC,
    ("GET", "/runs"): Need.PUBLIC,
    ("GET", "/models/{model}"): Need.PUBLIC,
    ("GET", f"/models/{{model}}/{{feature:{ANYTHING}}}"): Need.PUBLIC,
    ("GET", f"{API}/openapi.json"): Need.PUBLIC,
    ("GET", f"{API}/models"): Need.PUBLIC,
    ("GET", f"{API}/models/{{name}}"): Need.PUBLIC,
    ("GET", f"{API}/models/{{name}}/features/{{feature:{ANYTHING}}}"): Need.PUBLIC,
    ("GET", f"{API}/models/{{name}}/history"): Need.PUBLIC,
    ("GET", f"{API}/runs"): Need.PUBLIC,
    ("POST", "/alerts"): Need.SENDER,
    ("GET", "/approve"): Need.LINK,
    ("POST", "/approve"): Need.LINK,
    ("GET", "/incidents"): Need.VIEWER,
    ("GET", "/incidents/{incident}"): Need.VIEWER,
    ("GET", f"{API}/incidents"): Need.VIEWER,
    ("GET", f"{API}/incidents/{{incident_id}}"): Need.VIEWER,
    ("GET", f"{API}/incidents/{{incident_id}}/report"): Need.VIEWER,
    ("GET", f"{API}/alerts"): Need.VIEWER,
    ("GET", f"{API}/audit"): Need.VIEWER,
    ("GET", f"{API}/audit/verify"): Need.VIEWER,
    ("GET", f"{API}/report"): Need.VIEWER,
    ("POST", "/incidents/{incident}/request"): Need.RESPONDER,
    ("POST", "/incidents/{incident}/analyse"): Need.RESPONDER,
    ("POST", f"{API}/incidents/{{incident_id}}/analyse"): Need.RESPONDER,
    ("POST", f"{API}/incidents/{{incident_id}}/actions/{{name}}"): Need.RESPONDER,
    **{("POST", f"/incidents/{{incident}}/{move}"): Need.RESPONDER for move in MOVES},
    **{("POST", f"{API}/incidents/{{incident_id}}/{move}"): Need.RESPONDER for move in MOVES},
    **{
        ("POST", f"/incidents/{{incident}}/actions/{{action}}/{outcome}"): Need.RESPONDER
        for outcome in OUTCOMES
    },
    **{("POST", f"{API}/actions/{{action_id}}/{outcome}"): Need.RESPONDER for outcome in OUTCOMES},
    **{
        ("POST", f"/incidents/{{incident}}/actions/{{action}}/{decision}"): Need.APPROVER
        for decision in DECISIONS
    },
    **{
        ("POST", f"{API}/actions/{{action_id}}/{decision}"): Need.APPROVER for decision in DECISIONS
    },
}
"""By method and path below the prefix; metrics, which are answered before, are public."""
