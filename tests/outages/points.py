"""Between which two steps of its work a gateway may die, as `module:function before` or `… after`.

What is not of a class runs inside a transaction: `after` is when all is done but the commit.
"""

_REPLICATION = "gateway.replication"
JOURNAL = f"{_REPLICATION}.journal:Journal"

WRITE = (
    f"{JOURNAL}.begin before",
    f"{_REPLICATION}.ops:begin after",
    f"{JOURNAL}.begin after",  # it is written down what is to be written, and nothing else was done
    f"{_REPLICATION}.member:Member.may_write before",  # the primary has all but the end
    f"{_REPLICATION}.member:Member.may_write after",
    f"{JOURNAL}.settle before",  # the primary has it, the client was not told
    f"{_REPLICATION}.ops:settle before",
    f"{_REPLICATION}.ops:settle after",
)
WRITE_IN_OUTAGE = (
    f"{JOURNAL}.commit before",  # it is staged
    f"{_REPLICATION}.rows:commit after",
    f"{JOURNAL}.commit after",  # it is current, the client was not told
    f"{_REPLICATION}.echo:Echo.note after",
    f"{JOURNAL}.bury before",
    f"{_REPLICATION}.rows:bury after",
    f"{JOURNAL}.bury after",
    f"{JOURNAL}.begin_upload after",
)
HEALING = (
    f"{_REPLICATION}.healer:Healer.write before",
    f"{_REPLICATION}.lease:Lease.check before",  # primary or mirror have all but the end
    f"{_REPLICATION}.lease:Lease.check after",
    f"{_REPLICATION}.healer:Healer.write after",
    f"{JOURNAL}.healed before",
    f"{_REPLICATION}.rows:healed after",
    f"{JOURNAL}.healed after",  # the staged object is garbage that is still there
)
MIRRORING = (
    f"{_REPLICATION}.mirroring:Mirroring.write before",
    f"{_REPLICATION}.mirroring:Mirroring.write after",
    f"{JOURNAL}.mirrored before",
    f"{_REPLICATION}.working:mirrored after",
    f"{JOURNAL}.mirrored after",
)
CHANGING_MODE = (
    f"{_REPLICATION}.modes:beat after",
    f"{JOURNAL}.beat after",
)
SWEEPING = (
    f"{_REPLICATION}.sweeping:sweep after",
    f"{JOURNAL}.sweep after",
    f"{JOURNAL}.swept before",  # it is deleted, and still written down
    f"{JOURNAL}.swept after",
)
POINTS = (*WRITE, *WRITE_IN_OUTAGE, *HEALING, *MIRRORING, *CHANGING_MODE, *SWEEPING)
