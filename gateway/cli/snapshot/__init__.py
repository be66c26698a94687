"""`gateway snapshot`: what a bucket held, and how to have it again. No gateway has to be running."""

import click

from gateway.cli.snapshot.compare import verify
from gateway.cli.snapshot.drill import drill
from gateway.cli.snapshot.keep import create, delete, list_
from gateway.cli.snapshot.restore import restore


@click.group()
def command() -> None:
    """Write down what a bucket holds, compare it with what it holds later, restore it, rehearse that.

    A snapshot is a signed list of objects, of one of the bucket's mirrors, or of its own backend where it has none. It
    holds no bytes: a mirror that protects what is replaced and deleted there keeps them.
    """


for _each in (create, list_, verify, restore, drill, delete):
    command.add_command(_each)
