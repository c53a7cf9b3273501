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
