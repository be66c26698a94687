"""A program that writes until it is killed, and says before and after each write what it does.

python -m tests.backends.local.program ROOT SEED
"""

import asyncio
import sys
from pathlib import Path
from random import Random

from gateway.backends.local import open_local
from gateway.storage import SMALL, Address, Backend, WriteOptions
from tests.backends.given import body, completed, put

KEYS = ["a", "a/b", "a/b/c", "x/y/z", "x/y/", "p", "p/q", "k" * 300, "..", "d/e/f/g"]
SIZES = [0, 1, 1000, SMALL, SMALL + 1, 700_000, 2_000_000]
WRITES = 200


def content(seed: int, size: int) -> bytes:
    """Return the bytes of a write."""
    return Random(seed).randbytes(size)


def say(*words: object) -> None:
    """Tell the parent, at once."""
    print(*words, flush=True)  # noqa: T201


async def write(storage: Backend, number: int, seed: int) -> None:
    """Write one key again and again, in all ways there are."""
    random, at = Random(seed), Address("media", KEYS[number])
    for turn in range(WRITES // len(KEYS)):
        version, size = seed * 1000 + turn, random.choice(SIZES)
        how = random.choice(["put", "put", "put", "parts", "delete", "copy"])
        say("begin", number, *((0, -1) if how == "delete" else (version, size)))
        if how == "put":
            await put(storage, at, content(version, size), WriteOptions(metadata={"version": str(version)}))
        elif how == "parts":
            await completed(storage, at, [(1, content(version, size))])
        elif how == "copy":
            source = Address("media", f"source/{number}/{turn}")
            info = await storage.put(source, body(content(version, size)))
            await storage.copy(source, at, WriteOptions(), info.etag)
            await storage.delete(source)
        else:
            await storage.delete(at)
        say("done", number, *((0, -1) if how == "delete" else (version, size)))


async def main(root: Path, seed: int) -> None:
    """Write all keys at the same time."""
    async with open_local("local", root) as storage:
        await asyncio.gather(*(write(storage, number, seed + number) for number in range(len(KEYS))))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
