"""What readiness asks of a storage."""

import subprocess
import sys

from gateway.backends.memory import Memory
from gateway.server.health import Board, State, look

ASKED = "from gateway.server.health import NO_BUCKET; print(NO_BUCKET)"


def test_no_stranger_can_take_the_bucket_that_readiness_looks_for_and_make_gateways_unready():
    asked = {subprocess.check_output([sys.executable, "-c", ASKED], text=True) for _ in range(2)}
    assert len(asked) == 2


async def test_a_storage_that_knows_of_no_such_bucket_is_reached():
    board = Board(1, ["memory"])
    board.set_state(0, State.READY)
    await look({"memory": Memory()}, board, 0)
    assert board.report()[0]
