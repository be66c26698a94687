"""Which mirrors lack more than is written down."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Know them."""
    op.create_table(
        "overflow",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("deletes", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("route", "target"),
        sqlite_with_rowid=False,
    )
