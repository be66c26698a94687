"""What a parent tells its children."""

import os

from gateway.server import relay
from gateway.server.relay import Relay


class Said:
    """A source that says what it is given."""

    def __init__(self, current):
        self.current = current
        self.new = False

    def say(self, current):
        self.current, self.new = current, True

    def look(self, *, asked=False):
        new, self.new = self.new, False
        return new


def in_a_child(work):
    """Return what work returns in a process that is forked for it."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, repr(work()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text


def test_what_the_parent_learns_reaches_children_that_live_and_those_that_are_yet_to_be_born():
    source = Said("first")
    parent = Relay(source)
    go, going = os.pipe()
    back, answers = os.pipe()
    pid = os.fork()
    if not pid:
        told = [parent.current, parent.look()]
        os.read(go, 1)
        told += [parent.look(), parent.current, parent.look()]
        os.write(answers, repr(told).encode())
        os._exit(0)
    assert not parent.post(asked=False)
    source.say({"second": "x" * 10_000})
    assert parent.post(asked=False)
    os.write(going, b"x")
    assert os.read(back, 1_000_000).decode().startswith("['first', False, True, {'second': 'xxx")
    os.waitpid(pid, 0)
    assert in_a_child(lambda: (len(parent.current["second"]), parent.look())) == "(10000, False)"
    for end in (go, going, back, answers):
        os.close(end)


def test_what_is_half_written_is_not_taken():
    source = Said("first")
    parent = Relay(source)
    child = Relay(source)
    child._cells, child._head = parent._cells, parent._head
    source.say("second")
    assert parent.post(asked=True)
    parent._cells[relay.ROOM] ^= 1
    assert (child.look(), child.current) == (False, "first")
    parent._cells[relay.ROOM] ^= 1
    assert (child.look(), child.current) == (True, "second")


def test_what_is_too_large_is_refused_and_nothing_changes(monkeypatch):
    monkeypatch.setattr(relay, "ROOM", 1000)
    source = Said("first")
    parent = Relay(source)
    source.say("x" * 2000)
    assert not parent.post(asked=True)
    assert parent.current == "first"
