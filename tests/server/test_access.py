import asyncio
import sys

from gateway.server.access import AT_ONCE, Access


class Stream:
    """Keeps what is written to it, piece by piece."""

    def __init__(self) -> None:
        self.pieces = []

    def write(self, text: str) -> None:
        self.pieces.append(text)


def line(number: int, _seconds: float) -> str:
    return f"{number:0999}\n"


async def test_lines_of_one_turn_are_written_together_and_none_is_left_over(monkeypatch):
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    write = Access(line)
    for number in range(3):
        write(number, 0.1)
    await asyncio.sleep(0)
    assert stream.pieces == ["".join(line(number, 0.1) for number in range(3))]
    await asyncio.sleep(0)
    write(3, 0.1)
    await asyncio.sleep(0)
    assert stream.pieces[1:] == [line(3, 0.1)]


async def test_whole_lines_are_written_in_pieces_that_a_pipe_takes_at_once(monkeypatch):
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    write = Access(line)
    for number in range(10):
        write(number, 0.1)
    write(10, 0.1)
    await asyncio.sleep(0)
    assert "".join(stream.pieces) == "".join(line(number, 0.1) for number in range(11))
    assert max(map(len, stream.pieces)) <= AT_ONCE
    assert all(piece.endswith("\n") for piece in stream.pieces)
