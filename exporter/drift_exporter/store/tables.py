"""The tables of the store.

Knows names and types; the migrations make the tables, and a test holds the two to the
same schema. The prefix keeps them apart from others in a shared PostgreSQL database.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

VERSION_TABLE = "drift_version"
"""Where alembic keeps the revision of the schema."""

# Only a column of the very type INTEGER numbers its rows by itself in SQLite.
_ID = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

series = Table(
    "drift_series",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", Text, nullable=False),
    Column("bins_hash", Text, nullable=False),
    Column("width_seconds", BigInteger, nullable=False),
    Column("counted_from", BigInteger, nullable=False),
    Column("counted_to", BigInteger, nullable=False),
    UniqueConstraint("model", "bins_hash", "width_seconds", name="drift_series_key"),
)
"""What slices belong to, and the span of event time that was counted and is kept."""

slices = Table(
    "drift_slices",
    metadata,
    Column("id", _ID, primary_key=True),
    Column(
        "series_id",
        BigInteger,
        ForeignKey("drift_series.id", ondelete="CASCADE", name="drift_slices_series"),
        nullable=False,
    ),
    Column("start", BigInteger, nullable=False),
    Column("segment_by", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("counts", LargeBinary, nullable=False),
    UniqueConstraint("series_id", "start", "segment_by", "segment", name="drift_slices_key"),
)
"""Counts of one slice of event time, as ``codec`` packs them."""

runs = Table(
    "drift_runs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", Text, nullable=False),
    Column("started", Double, nullable=False),
    Column("finished", Double, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_rejected", Text, nullable=False),
    Column("phase_seconds", Text, nullable=False),
    Column("window_end", BigInteger, nullable=True),
    Index("drift_runs_by_model", "model", "id"),
)
"""Executions of a model's job; the two mappings are JSON."""

feature_lists = Table(
    "drift_feature_lists",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("names", LargeBinary, nullable=False),
    UniqueConstraint("digest", name="drift_feature_lists_key"),
)
"""Names of features in order, kept once instead of in every row of scores."""

scores = Table(
    "drift_scores",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", Text, nullable=False),
    Column("window", Text, nullable=False),
    Column("window_end", BigInteger, nullable=False),
    Column(
        "feature_list_id",
        BigInteger,
        ForeignKey("drift_feature_lists.id", name="drift_scores_feature_list"),
        nullable=False,
    ),
    Column("scores", LargeBinary, nullable=False),
    UniqueConstraint("model", "window", "window_end", name="drift_scores_key"),
)
"""PSI and state of every feature in one window."""


calibrations = Table(
    "drift_calibrations",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", Text, nullable=False),
    Column("bins_hash", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("body", Text, nullable=False),
    Index("drift_calibrations_by_model", "model", "id"),
)
"""What thresholds were calibrated to, as the text that the calibration wrote."""

incidents = Table(
    "drift_incidents",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("opened", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("acknowledged", Double, nullable=True),
    Column("acknowledged_by", Text, nullable=False),
    Column("resolved", Double, nullable=True),
    Column("closed", Double, nullable=True),
    Column("closed_by", Text, nullable=False),
    Column("flaps", Integer, nullable=False),
    Column("classification", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("analysis", Text, nullable=True),
    Column("successor", Text, nullable=False),
    Index("drift_incidents_by_cause", "model", "cause", "id"),
    Index("drift_incidents_by_state", "state"),
)
"""One per model and cause at a time; the analysis and the successor are JSON."""

evidence = Table(
    "drift_evidence",
    metadata,
    Column("id", _ID, primary_key=True),
    Column(
        "incident_id",
        BigInteger,
        ForeignKey("drift_incidents.id", name="drift_evidence_incident"),
        nullable=False,
    ),
    Column("at", Double, nullable=False),
    Column("body", Text, nullable=False),
    Index("drift_evidence_by_incident", "incident_id", "id"),
)
"""The counts that an incident was judged on, of each analysis; read only when asked for."""

steps = Table(
    "drift_steps",
    metadata,
    Column("id", _ID, primary_key=True),
    Column(
        "incident_id",
        BigInteger,
        ForeignKey("drift_incidents.id", name="drift_steps_incident"),
        nullable=False,
    ),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("drift_steps_by_incident", "incident_id", "id"),
)
"""What happened to an incident, in order; the detail is JSON."""

alerts = Table(
    "drift_alerts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("starts_at", Double, nullable=False),
    Column("ends_at", Double, nullable=True),
    Column(
        "incident_id",
        BigInteger,
        ForeignKey("drift_incidents.id", name="drift_alerts_incident"),
        nullable=True,
    ),
    Column("name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("annotations", Text, nullable=False),
    Column("received", Double, nullable=False),
    UniqueConstraint("fingerprint", "starts_at", name="drift_alerts_key"),
    Index("drift_alerts_by_incident", "incident_id", "status", "ends_at"),
)
"""Alerts as they were received last; those of no known model have no incident."""

actions = Table(
    "drift_actions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column(
        "incident_id",
        BigInteger,
        ForeignKey("drift_incidents.id", name="drift_actions_incident"),
        nullable=False,
    ),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("expires", Double, nullable=True),
    Column("needs", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    UniqueConstraint("key", name="drift_actions_key"),
    Index("drift_actions_by_incident", "incident_id"),
    Index("drift_actions_by_state", "state"),
    Index("drift_actions_by_name", "name", "updated"),
)
"""What was proposed or done about incidents; the needs and the detail are JSON."""

approvals = Table(
    "drift_approvals",
    metadata,
    Column("id", _ID, primary_key=True),
    Column(
        "action_id",
        BigInteger,
        ForeignKey("drift_actions.id", name="drift_approvals_action"),
        nullable=False,
    ),
    Column("who", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("note", Text, nullable=False),
    UniqueConstraint("action_id", "who", name="drift_approvals_key"),
)
"""Who answered a proposal and how, once each; the groups are JSON."""

audit = Table(
    "drift_audit",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
"""The audit log: canonical JSON and its hash, as ``audit`` makes them."""

audit_head = Table(
    "drift_audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row: where the audit log ends, so that a tail that was cut off is missed."""
