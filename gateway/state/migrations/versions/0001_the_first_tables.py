"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
_BUSY = {
    "fillfactor": 80,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 2000,
    "autovacuum_vacuum_cost_delay": 0,
}


def upgrade() -> None:
    """Make them, and where numbers and the time come from."""
    if op.get_bind().dialect.name == "sqlite":
        _host()
    else:
        op.execute(sa.schema.CreateSequence(sa.Sequence("gen")))
    _nodes()
    _keys()
    _targets()
    _uploads()


def _host() -> None:
    op.create_table(
        "clock",
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("origin", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("boot"),
    )
    op.create_table("counter", sa.Column("gen", sa.BigInteger(), nullable=False))
    op.execute("INSERT INTO counter (gen) VALUES (0)")


def _nodes() -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "route",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("previous", sa.SmallInteger(), nullable=False),
        sa.Column("effective", sa.Double(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "vote",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("down_for", sa.Double(), nullable=True),
        sa.Column("up_for", sa.Double(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("route", "node"),
        sqlite_with_rowid=False,
    )


def _keys() -> None:
    op.create_table(
        "key_state",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("gen", sa.BigInteger(), nullable=False),
        sa.Column("staged", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("info", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("taint_until", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("route", "bucket", "key"),
        postgresql_with={"fillfactor": 85},
        sqlite_with_rowid=False,
    )
    op.create_index("key_state_due", "key_state", ["route", "deleted", "due"], unique=False)
    op.create_table(
        "op",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("on_fallback", sa.Boolean(), nullable=False),
        sa.Column("staged", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("began", sa.Double(), nullable=False),
        sa.Column("unknown_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with=_BUSY,
        sqlite_with_rowid=False,
    )
    op.create_index("op_key", "op", ["route", "bucket", "key"], unique=False)


def _targets() -> None:
    op.create_table(
        "task",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("gen", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("touched", sa.Double(), nullable=False),
        sa.Column("info", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("taint_until", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.Double(), nullable=True),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("route", "bucket", "key", "target"),
        postgresql_with=_BUSY,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "task_due",
        "task",
        ["route", "target", "due"],
        unique=False,
        sqlite_where=sa.text("dead = 0"),
        postgresql_where=sa.text("NOT dead"),
    )
    op.create_table(
        "replica",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("baseline", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("route", "target"),
        sqlite_with_rowid=False,
    )


def _uploads() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("inner", sa.Text(), nullable=False),
        sa.Column("staged", sa.Text(), nullable=False),
        sa.Column("initiated", sa.Double(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index("upload_key", "upload", ["route", "bucket", "key", "initiated", "id"], unique=False)
    op.create_table(
        "trash",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("route", "backend", "bucket", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("trash_due", "trash", ["route", "due"], unique=False)
