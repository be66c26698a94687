"""The tables. They hold exceptions only: what differs from "the primary has it, and every mirror too".

Keys of objects are UTF-8 bytes, which both databases compare as S3 lists. Times are seconds of the database's clock.
Whoever changes a table adds a revision to `migrations/versions`.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
)

SHARED: Final = MetaData()
HOST: Final = MetaData()  # what a SQLite file needs besides

_KEYED: Final[dict[str, Any]] = {"sqlite_with_rowid": False}  # one tree instead of two

# rows that come and go leave room for themselves, and are cleared away at once
_BUSY: Final[dict[str, Any]] = {
    "fillfactor": 80,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 2000,
    "autovacuum_vacuum_cost_delay": 0,
}


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)


def _key(**options: Any) -> Column[bytes]:
    return Column("key", LargeBinary, nullable=False, **options)


def _moment(name: str) -> Column[float]:
    return Column(name, Double, nullable=False)


GEN: Final = Sequence("gen", metadata=SHARED)

NODES: Final = Table("node", SHARED, _text("id", primary_key=True), _moment("lease_until"), **_KEYED)

ROUTES: Final = Table(
    "route",
    SHARED,
    _text("name", primary_key=True),
    Column("mode", SmallInteger, nullable=False),
    Column("previous", SmallInteger, nullable=False),  # holds until `effective`
    _moment("effective"),
    Column("epoch", BigInteger, nullable=False),
    _moment("since"),
    _text("reason"),
    Column("pinned", Boolean, nullable=False),
    **_KEYED,
)

VOTES: Final = Table(
    "vote",
    SHARED,
    _text("route", primary_key=True),
    _text("node", primary_key=True),
    Column("down_for", Double),
    Column("up_for", Double),
    _moment("at"),
    **_KEYED,
)

BUCKETS: Final = Table(
    "bucket",
    SHARED,
    _text("route", primary_key=True),
    _text("name", primary_key=True),  # "": all that the primary has are told of here
    Column("presence", SmallInteger, nullable=False),
    Column("gen", BigInteger, nullable=False),
    _text("labels"),
    _moment("created"),  # by the clock of the node that made it
    _moment("touched"),  # when the primary was last about to be asked to make it
    _moment("due"),  # of one that is being made there: the end of the lease
    **_KEYED,
)

ROWS: Final = Table(
    "key_state",
    SHARED,
    _text("route", primary_key=True),
    _text("bucket", primary_key=True),
    _key(primary_key=True),
    Column("gen", BigInteger, nullable=False),
    _text("staged"),
    Column("deleted", Boolean, nullable=False),
    Column("info", Text),
    Column("size", BigInteger, nullable=False),
    _moment("since"),
    _moment("due"),  # of a claimed row: the end of the lease
    Column("token", Text),
    _moment("taint_until"),
    Column("attempts", Integer, nullable=False),
    _text("error"),
    postgresql_with={"fillfactor": 85},
    **_KEYED,
)
Index("key_state_due", ROWS.c.route, ROWS.c.deleted, ROWS.c.due)

OPS: Final = Table(
    "op",
    SHARED,
    _text("id", primary_key=True),
    _text("route"),
    _text("bucket"),
    _key(),
    Column("kind", SmallInteger, nullable=False),
    Column("on_fallback", Boolean, nullable=False),
    _text("staged"),
    _text("node"),
    _moment("began"),
    Column("unknown_at", Double),
    postgresql_with=_BUSY,
    **_KEYED,
)
Index("op_key", OPS.c.route, OPS.c.bucket, OPS.c.key)

TASKS: Final = Table(
    "task",
    SHARED,
    _text("route", primary_key=True),
    _text("bucket", primary_key=True),
    _key(primary_key=True),
    _text("target", primary_key=True),
    Column("gen", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    _moment("touched"),  # when the last write was settled
    Column("info", Text),
    Column("size", BigInteger, nullable=False),
    _moment("since"),
    _moment("due"),  # of a claimed task: the end of the lease
    Column("token", Text),
    _moment("taint_until"),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),  # that no retry will change
    Column("failing_since", Double),
    Column("dead", Boolean, nullable=False),
    _text("error"),
    postgresql_with=_BUSY,
    **_KEYED,
)
Index(
    "task_due",
    TASKS.c.route,
    TASKS.c.target,
    TASKS.c.due,
    sqlite_where=~TASKS.c.dead,
    postgresql_where=~TASKS.c.dead,
)

REPLICAS: Final = Table(
    "replica",
    SHARED,
    _text("route", primary_key=True),
    _text("target", primary_key=True),
    _text("baseline"),
    Column("paused", Boolean, nullable=False),
    **_KEYED,
)

BRAKES: Final = Table(
    "brake",
    SHARED,
    _text("route", primary_key=True),
    _text("target", primary_key=True),
    Column("keys", BigInteger, nullable=False),  # that the target holds, about
    Column("deletes", BigInteger, nullable=False),  # since `since`; below 0, so many more are allowed
    _moment("since"),
    Column("held", Boolean, nullable=False),
    **_KEYED,
)

OVERFLOWS: Final = Table(
    "overflow",
    SHARED,
    _text("route", primary_key=True),
    _text("target", primary_key=True),
    Column("ended", Boolean, nullable=False),  # what the target lacks is written down again
    Column("deletes", Boolean, nullable=False),  # some of what was not written down were deletes
    **_KEYED,
)

UPLOADS: Final = Table(
    "upload",
    SHARED,
    _text("id", primary_key=True),
    _text("route"),
    _text("bucket"),
    _key(),
    _text("inner"),
    _text("staged"),
    _moment("initiated"),
    _text("options"),
    **_KEYED,
)
Index("upload_key", UPLOADS.c.route, UPLOADS.c.bucket, UPLOADS.c.key, UPLOADS.c.initiated, UPLOADS.c.id)

TRASH: Final = Table(
    "trash",
    SHARED,
    _text("route", primary_key=True),
    _text("backend", primary_key=True),
    _text("bucket", primary_key=True),
    _key(primary_key=True),
    _moment("due"),
    **_KEYED,
)
Index("trash_due", TRASH.c.route, TRASH.c.due)

LINEAGES: Final = Table(
    "lineage",
    SHARED,
    _text("route", primary_key=True),
    _text("id"),  # "": the storages tell of another database than this
    Column("number", BigInteger, nullable=False),
    Column("gen", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    **_KEYED,
)

COMMANDS: Final = Table(  # of operators, which no gateway has told of yet
    "command", SHARED, _text("id", primary_key=True), _text("said"), **_KEYED
)

# --- migrations ---

TOMBS: Final = Table(  # of keys whose old storage is asked no more, and of those about which one decides just now
    "tomb",
    SHARED,
    _text("route", primary_key=True),
    _text("bucket", primary_key=True),
    _key(primary_key=True),  # b"": the bucket itself
    Column("buried", Boolean, nullable=False),
    _text("token"),  # of who decides, "" when nobody does
    _moment("due"),  # of that: the end
    **_KEYED,
)

# --- images: which keys are to be looked at, because what is made of them may not be what it should be ---

IMAGE_INTENTS: Final = Table(
    "image_intent",
    SHARED,
    _text("id", primary_key=True),
    _text("bucket"),
    _key(),
    _moment("due"),  # when nobody will tell any more what became of the write
    postgresql_with=_BUSY,
    **_KEYED,
)
Index("image_intent_due", IMAGE_INTENTS.c.due)

IMAGE_JOBS: Final = Table(
    "image_job",
    SHARED,
    _text("bucket", primary_key=True),
    _key(primary_key=True),
    _text("stamp"),  # another one for each thing that happened to the key
    _moment("since"),
    _moment("due"),  # of a claimed job: the end of the lease
    Column("token", Text),
    Column("attempts", Integer, nullable=False),
    Column("failed", Boolean, nullable=False),
    _text("error"),
    postgresql_with=_BUSY,
    **_KEYED,
)
Index(
    "image_job_due",
    IMAGE_JOBS.c.due,
    sqlite_where=~IMAGE_JOBS.c.failed,
    postgresql_where=~IMAGE_JOBS.c.failed,
)

COUNTER: Final = Table("counter", HOST, Column("gen", BigInteger, nullable=False))
CLOCK: Final = Table("clock", HOST, _text("boot", primary_key=True), _moment("origin"))
