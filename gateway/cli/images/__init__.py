"""`gateway images`: what an operator asks of variants, and has done to them. No gateway has to be running."""

import click

from gateway.cli.images.status import status
from gateway.cli.images.work import prune, rebuild


@click.group()
def command() -> None:
    """Look at variants of images, make those that are missing, remove those of no image.

    `status` asks the database, the others work on the backends, whether or not a gateway is running.
    """


for _each in (status, rebuild, prune):
    command.add_command(_each)
