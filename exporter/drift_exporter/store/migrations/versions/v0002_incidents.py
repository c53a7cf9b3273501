"""Incidents with their steps, alerts, actions and approvals; the audit log; calibrations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "drift_calibrations",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("bins_hash", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("drift_calibrations_by_model", "drift_calibrations", ["model", "id"])
    op.create_table(
        "drift_incidents",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("opened", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("acknowledged", sa.Double, nullable=True),
        sa.Column("acknowledged_by", sa.Text, nullable=False),
        sa.Column("resolved", sa.Double, nullable=True),
        sa.Column("closed", sa.Double, nullable=True),
        sa.Column("closed_by", sa.Text, nullable=False),
        sa.Column("flaps", sa.Integer, nullable=False),
        sa.Column("classification", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("analysis", sa.Text, nullable=True),
        sa.Column("successor", sa.Text, nullable=False),
    )
    op.create_index("drift_incidents_by_cause", "drift_incidents", ["model", "cause", "id"])
    op.create_index("drift_incidents_by_state", "drift_incidents", ["state"])
    op.create_table(
        "drift_evidence",
        sa.Column("id", _ID, primary_key=True),
        sa.Column(
            "incident_id",
            sa.BigInteger,
            sa.ForeignKey("drift_incidents.id", name="drift_evidence_incident"),
            nullable=False,
        ),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("drift_evidence_by_incident", "drift_evidence", ["incident_id", "id"])
    op.create_table(
        "drift_steps",
        sa.Column("id", _ID, primary_key=True),
        sa.Column(
            "incident_id",
            sa.BigInteger,
            sa.ForeignKey("drift_incidents.id", name="drift_steps_incident"),
            nullable=False,
        ),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("drift_steps_by_incident", "drift_steps", ["incident_id", "id"])
    op.create_table(
        "drift_alerts",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("starts_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=True),
        sa.Column(
            "incident_id",
            sa.BigInteger,
            sa.ForeignKey("drift_incidents.id", name="drift_alerts_incident"),
            nullable=True,
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("annotations", sa.Text, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.UniqueConstraint("fingerprint", "starts_at", name="drift_alerts_key"),
    )
    op.create_index(
        "drift_alerts_by_incident", "drift_alerts", ["incident_id", "status", "ends_at"]
    )
    op.create_table(
        "drift_actions",
        sa.Column("id", _ID, primary_key=True),
        sa.Column(
            "incident_id",
            sa.BigInteger,
            sa.ForeignKey("drift_incidents.id", name="drift_actions_incident"),
            nullable=False,
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=True),
        sa.Column("needs", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.UniqueConstraint("key", name="drift_actions_key"),
    )
    op.create_index("drift_actions_by_incident", "drift_actions", ["incident_id"])
    op.create_index("drift_actions_by_state", "drift_actions", ["state"])
    op.create_index("drift_actions_by_name", "drift_actions", ["name", "updated"])
    op.create_table(
        "drift_approvals",
        sa.Column("id", _ID, primary_key=True),
        sa.Column(
            "action_id",
            sa.BigInteger,
            sa.ForeignKey("drift_actions.id", name="drift_approvals_action"),
            nullable=False,
        ),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.UniqueConstraint("action_id", "who", name="drift_approvals_key"),
    )
    op.create_table(
        "drift_audit",
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_table(
        "drift_audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry_id", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in (
        "audit_head",
        "audit",
        "approvals",
        "actions",
        "alerts",
        "steps",
        "evidence",
        "incidents",
        "calibrations",
    ):
        op.drop_table(f"drift_{table}")
