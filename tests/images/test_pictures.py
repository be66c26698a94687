from PIL import Image

from tests.images import pictures


def test_the_pictures_of_the_docs_are_what_a_gateway_makes(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    pictures.make(tmp_path / "gateway", made)
    assert {path.name for path in made.iterdir()} == {path.name for path in pictures.FOLDER.iterdir()}
    for path in made.iterdir():
        with Image.open(path) as new, Image.open(pictures.FOLDER / path.name) as shown:
            assert (new.size, new.format) == (shown.size, shown.format)
