"""Have a gateway make the pictures of docs/images.md: `make pictures`."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from tests.gateway_process import GatewayProcess, running

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
BOX = {"width": 240, "height": 240}
SIDE = {"width": 120, "height": 240}
VARIANTS = {
    "scale-down": BOX,
    "cover": {**BOX, "fit": "cover"},
    "pad": {**BOX, "fit": "pad", "background": "#d9cfc1"},
    "stretch": {**BOX, "fit": "stretch"},
    "cover-left": {**SIDE, "fit": "cover", "position": "left"},
    "cover-center": {**SIDE, "fit": "cover"},
    "cover-right": {**SIDE, "fit": "cover", "position": "right"},
    "watermark": {
        "width": 360,
        "watermark": {"image": "assets/logo.png", "position": "top-right", "opacity": 0.8, "margin": 12},
    },
}
PHONE = {"as-it-lies": {"width": 240, "autorotate": False}, "upright": {"width": 160}}
LOGO = {
    "on-white": {"width": 160, "format": "jpeg"},
    "on-blue": {"width": 160, "format": "jpeg", "background": "#1f4e79"},
}
RULES = [
    {"match": f"{name}/{{file}}", "key": f"made/{name}-{{variant}}.{{ext}}", "mode": "sync", "variants": variants}
    for name, variants in (("lake", VARIANTS), ("phone", PHONE), ("logo", LOGO))
]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        make(Path(name), folder)


def make(scratch: Path, folder: Path) -> None:
    """Upload what is drawn here, and keep what the gateway makes of it."""
    buckets = {"pictures": {"backend": "disk", "images": {"rules": RULES}}}
    extra = {"state": f"sqlite:///{scratch}/state.db", "images": {"timeout": "60s"}, "buckets": buckets}
    with running(GatewayProcess(scratch, extra=extra)) as gateway:
        client = gateway.client()
        client.create_bucket(Bucket="pictures")
        lake = _jpeg(landscape())
        client.put_object(Bucket="pictures", Key="assets/logo.png", Body=_png(logo()))
        client.put_object(Bucket="pictures", Key="lake/lake.jpg", Body=lake, ContentType="image/jpeg")
        client.put_object(Bucket="pictures", Key="phone/phone.jpg", Body=_phone(), ContentType="image/jpeg")
        client.put_object(Bucket="pictures", Key="logo/logo.png", Body=_png(logo()), ContentType="image/png")
        (folder / "lake.jpg").write_bytes(lake)
        for entry in client.list_objects_v2(Bucket="pictures", Prefix="made/")["Contents"]:
            answer = client.get_object(Bucket="pictures", Key=entry["Key"])
            (folder / entry["Key"].removeprefix("made/")).write_bytes(answer["Body"].read())


def landscape(width: int = 720, height: int = 480) -> Image.Image:
    """A lake in the evening: something at each side and in the middle, so that cutting and turning can be seen."""
    scale = 2
    size = (width * scale, height * scale)
    horizon = int(size[1] * 0.55)
    picture = _gradient(size, (38, 70, 130), (250, 180, 110), horizon)
    draw = ImageDraw.Draw(picture)
    _sun(draw, (int(size[0] * 0.5), int(horizon * 0.72)), size[1] // 12)
    ridge = [(0, 0.42), (0.12, 0.2), (0.2, 0.3), (0.32, 0.12), (0.45, 0.4), (0.6, 0.47), (0.74, 0.26), (0.86, 0.4)]
    _ridge(draw, [*ridge, (1, 0.3)], size, horizon, (72, 72, 110))
    _ridge(draw, [(0, 0.5), (0.25, 0.44), (0.5, 0.52), (0.8, 0.45), (1, 0.5)], size, horizon, (48, 56, 84))
    mirrored = picture.crop((0, 0, size[0], horizon)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    water = mirrored.resize((size[0], size[1] - horizon)).filter(ImageFilter.GaussianBlur(6))
    picture.paste(Image.blend(water, Image.new("RGB", water.size, (30, 60, 90)), 0.35), (0, horizon))
    draw = ImageDraw.Draw(picture)
    for place, tall in ((0.06, 0.62), (0.1, 0.5), (0.135, 0.44)):
        _tree(draw, int(size[0] * place), int(size[1] * 0.93), int(size[1] * tall))
    _boat(draw, int(size[0] * 0.86), int(size[1] * 0.74), size[0] // 18)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def logo() -> Image.Image:
    """A ring on nothing."""
    picture = Image.new("RGBA", (640, 640), (255, 255, 255, 0))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((40, 40, 600, 600), outline=(255, 255, 255, 255), width=70)
    draw.ellipse((40, 40, 600, 600), outline=(235, 120, 40, 255), width=50)
    draw.polygon([(220, 440), (320, 180), (420, 440)], fill=(235, 120, 40, 255))
    return picture.resize((320, 320), Image.Resampling.LANCZOS)


def _gradient(size: tuple[int, int], above: tuple[int, ...], below: tuple[int, ...], stop: int) -> Image.Image:
    column = Image.new("RGB", (1, stop))
    for y in range(stop):
        share = y / stop
        column.putpixel((0, y), tuple(round(a + (b - a) * share) for a, b in zip(above, below, strict=True)))
    picture = Image.new("RGB", size)
    picture.paste(column.resize((size[0], stop)))
    return picture


def _sun(draw: ImageDraw.ImageDraw, at: tuple[int, int], radius: int) -> None:
    draw.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=(255, 236, 180))


def _ridge(draw: ImageDraw.ImageDraw, points: list, size: tuple[int, int], horizon: int, color: tuple) -> None:
    outline = [(x * size[0], y * size[1]) for x, y in points]
    draw.polygon([(0, horizon), *outline, (size[0], horizon)], fill=color)


def _tree(draw: ImageDraw.ImageDraw, x: int, foot: int, tall: int) -> None:
    draw.rectangle((x - tall // 40, foot - tall // 5, x + tall // 40, foot), fill=(58, 40, 30))
    for step in range(4):
        top, wide = foot - tall + step * tall // 6, tall // 12 + step * tall // 22
        draw.polygon([(x, top), (x - wide, top + tall // 3), (x + wide, top + tall // 3)], fill=(24, 54 + 6 * step, 46))


def _boat(draw: ImageDraw.ImageDraw, x: int, y: int, wide: int) -> None:
    draw.polygon([(x, y - wide * 2), (x, y - 4), (x + wide, y - 4)], fill=(250, 245, 235))
    draw.polygon([(x - 8, y - wide * 3 // 2), (x - 8, y - 4), (x - wide * 2 // 3, y - 4)], fill=(225, 110, 70))
    draw.polygon(
        [(x - wide, y), (x + wide, y), (x + wide * 2 // 3, y + wide // 3), (x - wide * 2 // 3, y + wide // 3)],
        fill=(70, 40, 35),
    )


def _phone() -> bytes:
    """What a phone writes that was held upright: the picture lies on its side, and a tag tells so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = landscape(720, 480).crop((0, 0, 320, 480))
    return _jpeg(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _jpeg(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=88, **options)
    return file.getvalue()


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "png")
    return file.getvalue()


if __name__ == "__main__":
    main()
