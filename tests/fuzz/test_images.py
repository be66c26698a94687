"""Images with something wrong in them, by chance: each ends in a picture or a reason, and never in a crash."""

import asyncio
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.images.pool import Workers
from gateway.images.spec import EXTRACTS, Limits, Order, Reason, Unfit, Variant, Watermark
from tests.fuzz.attacked import thorough
from tests.images import makers

VARIANTS = (
    Variant("a", 50, 40, "cover", metadata="keep", color="keep"),
    Variant("b", 70, format="webp", metadata="copyright", watermark=Watermark("mark")),
    Variant("c", 60, 60, "pad", format="jpeg"),
)
REFUSED = frozenset(Reason) - {
    Reason.TIMEOUT,
    Reason.KILLED,
    Reason.NOT_READ,
    Reason.OUT_OF_SPACE,
    Reason.OUT_OF_MEMORY,
}
SEEDS = [
    *(make() for make in makers.SIMPLE.values()),
    makers.jpeg(progressive=True, exif=makers.camera_exif(), icc_profile=makers.display_p3()),
    makers.png(exif=makers.camera_exif(), icc_profile=makers.display_p3()),
    makers.webp(exif=makers.camera_exif(), icc_profile=makers.display_p3(), lossless=True),
    makers.avif(exif=makers.camera_exif()),
    makers.cmyk(),
    makers.deep_grey(),
    makers.encoded(makers.corners().quantize(4), "png", transparency=0),
    *(makers.frames(4, kind) for kind in ("gif", "webp", "png", "avif")),
    makers.noisy("jpeg", restart_marker_blocks=2),
    makers.raw_png(40, 40, mode=6, pixels=bytes(41 * 4 * 40)),
]


class Attacked:
    """A pool that lives as long as all the attacks."""

    def __init__(self, folder):
        self.folder = folder
        self.runner = asyncio.Runner()
        self.workers = self.runner.run(self.open())

    async def open(self):
        return await Workers(1, nice=0, timeout=60).__aenter__()

    def outcome(self, data):
        return self.runner.run(self._outcome(data))

    async def _outcome(self, data):
        source, mark = self.folder / "source", self.folder / "mark"
        source.write_bytes(data)
        mark.write_bytes(data)
        order = Order(source, VARIANTS, Limits(max_pixels=200_000), watermarks={"mark": mark}, extract=EXTRACTS)
        try:
            async with self.workers.derive(order) as made:
                assert set(made.files) | set(made.failures) == {"a", "b", "c"}
                assert set(made.failures.values()) <= {Reason.NOT_ENCODED, Reason.NO_WATERMARK}
                assert all(value.isascii() and value.isprintable() for value in made.exif.values())
                assert all(path.stat().st_size for path in made.files.values())
        except Unfit as unfit:
            return unfit.reason
        return None

    def close(self):
        self.runner.run(self.workers.__aexit__())
        self.runner.close()


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    pool = Attacked(tmp_path_factory.mktemp("images"))
    yield pool
    pool.close()


@st.composite
def mutated(draw):
    """An image of which some bytes are others, are missing, are there twice, or are those of another one."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 12))):
        where = chance.randrange(min(len(data), chance.choice((64, 600, len(data)))) or 1)
        length = chance.choice((1, 1, 2, 4, 30))
        match chance.randrange(5):
            case 0:
                data[where : where + length] = chance.randbytes(length)
            case 1:
                del data[where : where + length]
            case 2:
                data[where:where] = data[where : where + length]
            case 3:
                data[where : where + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 4:
                data[where:where] = chance.choice(SEEDS)[: chance.randrange(400)]
        if not data:
            break
    return bytes(data)


@thorough
@given(mutated())
@example(b"")
def test_no_image_is_the_end_of_a_worker(pool, data):
    assert pool.outcome(data) in {None, *REFUSED}


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_what_is_mutated_was_a_picture(pool, number):
    assert pool.outcome(SEEDS[number]) is None
