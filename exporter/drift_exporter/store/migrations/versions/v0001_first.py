"""The first schema: series, slices, runs, feature lists, scores."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "drift_series",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("bins_hash", sa.Text, nullable=False),
        sa.Column("width_seconds", sa.BigInteger, nullable=False),
        sa.Column("counted_from", sa.BigInteger, nullable=False),
        sa.Column("counted_to", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("model", "bins_hash", "width_seconds", name="drift_series_key"),
    )
    op.create_table(
        "drift_slices",
        sa.Column("id", _ID, primary_key=True),
        sa.Column(
            "series_id",
            sa.BigInteger,
            sa.ForeignKey("drift_series.id", ondelete="CASCADE", name="drift_slices_series"),
            nullable=False,
        ),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("segment_by", sa.Text, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("counts", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("series_id", "start", "segment_by", "segment", name="drift_slices_key"),
    )
    op.create_table(
        "drift_runs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("finished", sa.Double, nullable=False),
        sa.Column("success", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("rows_rejected", sa.Text, nullable=False),
        sa.Column("phase_seconds", sa.Text, nullable=False),
        sa.Column("window_end", sa.BigInteger, nullable=True),
    )
    op.create_index("drift_runs_by_model", "drift_runs", ["model", "id"])
    op.create_table(
        "drift_feature_lists",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("names", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("digest", name="drift_feature_lists_key"),
    )
    op.create_table(
        "drift_scores",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("window", sa.Text, nullable=False),
        sa.Column("window_end", sa.BigInteger, nullable=False),
        sa.Column(
            "feature_list_id",
            sa.BigInteger,
            sa.ForeignKey("drift_feature_lists.id", name="drift_scores_feature_list"),
            nullable=False,
        ),
        sa.Column("scores", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("model", "window", "window_end", name="drift_scores_key"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("scores", "feature_lists", "runs", "slices", "series"):
        op.drop_table(f"drift_{table}")
