"""The command line: one module per command, loaded when it is asked for."""

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "serve": "Serve S3 until told to stop.",
    "check": "Check a configuration, and try what its backends can do.",
    "explain": "Say where a bucket or an object lies, and who may do what with it.",
    "journal": "Rebuild what is written down of a bucket whose database was lost or set back.",
    "failover": "Send the writes of a bucket to its fallback, or back to its primary.",
    "mirror": "Look at mirrors, compare them, repair them, let them rest.",
    "migrate": "Move a bucket from one backend to another.",
    "images": "Look at variants of images, make those that are missing, remove those of no image.",
    "snapshot": "Write down what a bucket holds, restore it, rehearse that.",
    "presign": "Print a URL that anybody may use for a while.",
}


class _Commands(click.Group):
    """Finds a command in the module that bears its name; help on all of them loads none."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  likewise
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"gateway.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  likewise
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="s3-gateway", message="%(version)s")
def main() -> None:
    """One S3 endpoint in front of every storage a team has."""
