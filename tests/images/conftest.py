import warnings

import pytest
from PIL import Image

from gateway.images import decoders
from gateway.images.pipeline import derive
from gateway.images.spec import Order, Unfit, Variant


@pytest.fixture(autouse=True)
def decoder(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    with warnings.catch_warnings():
        decoders.set_up()
        yield


@pytest.fixture
def make(tmp_path):
    """Make variants of bytes, in this process."""

    def make(data, *variants, **order):
        source = tmp_path / "source"
        source.write_bytes(data)
        folder = tmp_path / f"made{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        order.setdefault("variants", variants or [Variant("small", 60)])
        return derive(Order(source, **order), folder)

    return make


@pytest.fixture
def refused(make):
    """Return why bytes are not transformed."""

    def refused(data, *variants, **order):
        with pytest.raises(Unfit) as caught:
            make(data, *variants, **order)
        return caught.value.reason

    return refused
