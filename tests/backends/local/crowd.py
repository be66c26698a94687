"""Many processes at work on one root at the same time, each its own gateway.

python -m tests.backends.local.crowd ROOT JOB PEOPLE
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from gateway.backends.local import open_local
from gateway.conditions import Conditions
from gateway.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    PreconditionFailed,
)
from gateway.storage import SMALL, Address, Backend, ListQuery, WriteOptions
from tests.backends.given import etag, keys, put, read, some

AT = Address("media", "deep/down/key")
TANGLED = ["a", "a/b", "a/b/c", "a/b/c/d", "a/", "a/b/", "a/x", "a/x/y"]
ROUNDS = 30


async def create(storage: Backend, person: int) -> str:
    """Create one key, if nobody else has."""
    options = WriteOptions(conditions=Conditions(if_none_match=("*",)))
    try:
        await put(storage, AT, b"%d" % person, options)
    except PreconditionFailed:
        return "lost"
    assert await read(storage, AT) == b"%d" % person
    return "won"


async def count(storage: Backend, _person: int) -> str:
    """Count up the number in one key, ten times; whoever was overtaken tries again."""
    done = 0
    while done < 10:
        number = int(await read(storage, AT))
        is_as_read = Conditions(if_match=(etag(b"%d" % number),))
        with suppress(PreconditionFailed):
            await put(storage, AT, b"%d" % (number + 1), WriteOptions(conditions=is_as_read))
            done += 1
    return "done"


async def tangle(storage: Backend, person: int) -> str:
    """Write, read and delete keys that are each other's folders; `a` is never deleted, so it is always there."""
    random = Random(person)
    for _ in range(ROUNDS):
        key = random.choice(TANGLED)
        at, data = Address("media", key), some(random.choice([1, SMALL + 1]), random.randrange(1000))
        if key == "a" or random.random() < 0.5:
            await put(storage, at, data)
        else:
            await storage.delete(at)
        assert await read(storage, Address("media", "a"))
        assert "a" in await keys(storage, "media", ListQuery(limit=3))
    return "done"


async def come_and_go(storage: Backend, person: int) -> str:
    """Half of them make and remove a bucket; the others put objects of their own there, which must not get lost."""
    for turn in range(ROUNDS):
        if person % 2:
            with suppress(BucketAlreadyExists):
                await storage.create_bucket("coming", {})
            with suppress(BucketNotEmpty, NoSuchBucket):
                await storage.delete_bucket("coming")
            continue
        at = Address("coming", f"{person}/{turn % 3}/key")
        with suppress(NoSuchBucket, BucketAlreadyExists):
            await storage.create_bucket("coming", {})
        with suppress(NoSuchBucket):
            await put(storage, at, b"mine", WriteOptions(metadata={"large": "x" * 10_000}))
            try:
                assert (await storage.head(at)).metadata == {"large": "x" * 10_000}
                assert await read(storage, at) == b"mine"
            except (NoSuchKey, NoSuchBucket):
                return "lost an acknowledged object"
            await storage.delete(at)
    return "done"


JOBS: dict[str, Callable[[Backend, int], Awaitable[str]]] = {
    "create": create,
    "count": count,
    "tangle": tangle,
    "come_and_go": come_and_go,
}


async def work(root: Path, job: str, person: int) -> str:
    """Do the job as a process of its own."""
    async with open_local("local", root, fsync=False) as storage:
        return await JOBS[job](storage, person)


def main(root: Path, job: str, people: int) -> None:
    """Have everybody begin at the same time; what each says comes out as a line."""
    waiting, start = os.pipe()
    children = []
    for person in range(people):
        child = os.fork()
        if not child:
            os.close(start)
            os.read(waiting, 1)
            os.write(sys.stdout.fileno(), f"{asyncio.run(work(root, job, person))}\n".encode())
            os._exit(0)
        children.append(child)
    os.close(start)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
