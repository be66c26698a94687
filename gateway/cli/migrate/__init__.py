"""`gateway migrate`: a bucket goes from one backend to another. No gateway has to be running."""

import click

from gateway.cli.migrate.copy import copy
from gateway.cli.migrate.delete import delete_source
from gateway.cli.migrate.lazily import finish, status
from gateway.cli.migrate.verify import verify


@click.group()
def command() -> None:
    """Move a bucket from one backend to another, in three steps, each of which can be done again at any time.

    FROM and TO are backends of the configuration, each with a bucket as it is named there: aws:media, or with what all
    keys begin with there, aws:media/designs/.

    A bucket that has migrate_from in the configuration moves while it is used: `status` and `finish` are about those.
    """


for _each in (copy, verify, delete_source, status, finish):
    command.add_command(_each)
