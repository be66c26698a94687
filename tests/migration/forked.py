"""Commands of the gateway, each in a process of its own, that need not be loaded again and again.

Each line of standard input is a list: the arguments, and the file for what is printed. Answered are the id of the
process, and when it has ended its exit status.
"""

import json
import os
import sys

from gateway.cli import main
from gateway.cli.migrate import command

assert command  # what takes long to load is loaded now

for line in sys.stdin:
    *arguments, output = json.loads(line)
    child = os.fork()
    if not child:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        main(arguments)
    sys.stdout.write(f"{child}\n")
    sys.stdout.flush()
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
    sys.stdout.flush()
