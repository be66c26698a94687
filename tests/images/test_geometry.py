import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.images.geometry import placed, plan
from gateway.images.spec import CENTER, POSITIONS, Variant

WHOLE = (0, 0, 400, 300)


@pytest.mark.parametrize(
    ("variant", "part", "size", "canvas"),
    [
        (Variant("v"), WHOLE, (400, 300), (400, 300)),
        (Variant("v", 200), WHOLE, (200, 150), (200, 150)),
        (Variant("v", None, 100), WHOLE, (133, 100), (133, 100)),
        (Variant("v", 200, 50), WHOLE, (67, 50), (67, 50)),
        (Variant("v", 800), WHOLE, (400, 300), (400, 300)),
        (Variant("v", 800, enlarge=True), WHOLE, (800, 600), (800, 600)),
        (Variant("v", 100, 100, "cover"), (50, 0, 350, 300), (100, 100), (100, 100)),
        (Variant("v", 100, 100, "cover", POSITIONS["left"]), (0, 0, 300, 300), (100, 100), (100, 100)),
        (Variant("v", 100, 50, "cover", POSITIONS["bottom"]), (0, 100, 400, 300), (100, 50), (100, 50)),
        (Variant("v", 600, 600, "cover"), (50, 0, 350, 300), (300, 300), (300, 300)),
        (Variant("v", 600, 600, "cover", enlarge=True), (50, 0, 350, 300), (600, 600), (600, 600)),
        (Variant("v", 200, None, "cover"), WHOLE, (200, 150), (200, 150)),
        (Variant("v", 200, 200, "pad"), WHOLE, (200, 150), (200, 200)),
        (Variant("v", 800, 800, "pad"), WHOLE, (400, 300), (800, 800)),
        (Variant("v", 800, 800, "pad", enlarge=True), WHOLE, (800, 600), (800, 800)),
        (Variant("v", 100, 100, "stretch"), WHOLE, (100, 100), (100, 100)),
        (Variant("v", 100, 900, "stretch"), WHOLE, (100, 300), (100, 300)),
        (Variant("v", 100, 900, "stretch", enlarge=True), WHOLE, (100, 900), (100, 900)),
    ],
)
def test_fit_modes(variant, part, size, canvas):
    found = plan(variant, 400, 300)
    assert found.part == pytest.approx(part)
    assert (found.size, found.canvas) == (size, canvas)


@given(
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
    wanted=st.tuples(st.none() | st.integers(1, 5000), st.none() | st.integers(1, 5000)),
    fit=st.sampled_from(["scale-down", "cover", "pad", "stretch"]),
    position=st.sampled_from(sorted(POSITIONS)),
    enlarge=st.booleans(),
)
def test_whatever_is_asked_for_stays_within_the_source_and_within_the_box(  # noqa: PLR0913, PLR0917  that is what a plan is of
    width, height, wanted, fit, position, enlarge
):
    variant = Variant("v", *wanted, fit=fit, position=POSITIONS[position], enlarge=enlarge)
    found = plan(variant, width, height)
    left, top, right, bottom = found.part
    assert -1e-6 <= left < right <= width + 1e-6
    assert -1e-6 <= top < bottom <= height + 1e-6
    assert min(found.size) >= 1
    for axis in (0, 1):
        assert 0 <= found.offset[axis] <= found.canvas[axis] - found.size[axis]
        assert wanted[axis] is None or found.canvas[axis] <= wanted[axis]
    if not enlarge:
        assert found.size[0] <= width
        assert found.size[1] <= height


def test_positions_and_margins():
    assert placed((10, 10), (100, 50), CENTER) == (45, 20)
    assert placed((10, 10), (100, 50), POSITIONS["top-left"], 5) == (5, 5)
    assert placed((10, 10), (100, 50), POSITIONS["bottom-right"], 5) == (85, 35)
    assert placed((98, 10), (100, 50), POSITIONS["bottom-right"], 5) == (1, 35)
    assert placed((100, 50), (100, 50), POSITIONS["bottom-right"], 5) == (0, 0)
