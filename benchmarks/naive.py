"""The same pictures by Pillow, as tutorials show it: `python -m benchmarks.naive SOURCE FOLDER JOBS`."""

import json
import sys
import time
from pathlib import Path

from PIL import Image

WANTED = ((200, "jpeg"), (600, "jpeg"), (1200, "jpeg"), (1600, "webp"))


def derive(source: Path, folder: Path) -> None:
    for width, fmt in WANTED:
        with Image.open(source) as image:
            height = round(image.height * width / image.width)
            image.resize((width, height), Image.Resampling.LANCZOS).save(folder / f"naive-{width}.{fmt}", quality=80)


def main() -> None:
    source, folder, spent = Path(sys.argv[1]), Path(sys.argv[2]), []
    for _ in range(int(sys.argv[3])):
        before = time.process_time()
        derive(source, folder)
        spent.append((time.process_time() - before) * 1000)
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
