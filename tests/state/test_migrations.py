import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect

from gateway.state.schema import HOST, SHARED


def all_tables(connection):
    """The tables that there should be."""
    wanted = MetaData()
    for metadata in (SHARED, HOST) if connection.dialect.name == "sqlite" else (SHARED,):
        for table in metadata.tables.values():
            table.to_metadata(wanted)
    return wanted


async def test_the_revisions_make_the_tables_as_they_are_described(store):
    def differences(tx):
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, all_tables(tx.connection))

    assert await store.read(differences) == []


async def test_the_revisions_make_the_indexes_with_their_conditions(store):
    def partial(tx):
        [found] = [index for index in inspect(tx.connection).get_indexes("task") if index["name"] == "task_due"]
        return str(found["dialect_options"][f"{tx.connection.dialect.name}_where"])

    assert await store.read(partial) in {"dead = 0", "(NOT dead)"}


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_claim_of_tasks_reads_no_more_than_it_claims(store):
    statement = (
        "EXPLAIN QUERY PLAN SELECT bucket, key FROM task "
        "WHERE route = 'r' AND target = 't' AND dead = 0 AND due <= 1 ORDER BY due LIMIT 10"
    )
    plan = await store.read(lambda tx: str(tx.connection.exec_driver_sql(statement).all()))
    assert "USING INDEX task_due (route=? AND target=? AND due<?)" in plan
    assert "TEMP B-TREE" not in plan
