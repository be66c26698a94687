"""`gateway migrate`: a bucket goes from one backend to another. No gateway has to be running."""

import click

from gateway.cli.migrate.copy import copy
from gateway.cli.migrate.delete import delete_source
from gateway.cli.migrate.verify import verify


@click.group()
def command() -> None:
    """Move a bucket from one backend to another, in three steps, each of which can be done again at any time.

    FROM and TO are backends of the configuration, each with a bucket as it is named there: aws:media, or with what all
    keys begin with there, aws:media/designs/.
    """


for _each in (copy, verify, delete_source):
    command.add_command(_each)
