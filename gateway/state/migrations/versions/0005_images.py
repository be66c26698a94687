"""Which images are to be looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
_BUSY = {
    "fillfactor": 80,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 2000,
    "autovacuum_vacuum_cost_delay": 0,
}


def upgrade() -> None:
    """Make the tables: what is being written, and what is to be done."""
    op.create_table(
        "image_intent",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with=_BUSY,
        sqlite_with_rowid=False,
    )
    op.create_index("image_intent_due", "image_intent", ["due"], unique=False)
    op.create_table(
        "image_job",
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "key"),
        postgresql_with=_BUSY,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "image_job_due",
        "image_job",
        ["due"],
        unique=False,
        sqlite_where=sa.text("failed = 0"),
        postgresql_where=sa.text("NOT failed"),
    )
