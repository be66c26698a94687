"""`gateway mirror`: what an operator asks of mirrors, and has done to them. No gateway has to be running."""

import click

from gateway.cli.mirror.orders import pause, resume, retry
from gateway.cli.mirror.status import status
from gateway.cli.mirror.verify import repair, verify


@click.group()
def command() -> None:
    """Look at mirrors, compare them, repair them, let them rest.

    All of it works by the database of the configuration and its backends, whether or not a gateway is running.
    """


for _each in (status, verify, repair, retry, pause, resume):
    command.add_command(_each)
