"""Images of all kinds, good and evil, made on the spot."""

import io
import struct
import zlib

from PIL import Image, ImageChops, ImageCms, ImageDraw

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def corners(width=120, height=80):
    """A picture that tells how it lies: red at the top left, green at the top right, blue and yellow below."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    half_width, half_height = width // 2, height // 2
    draw.rectangle((0, 0, half_width - 1, half_height - 1), RED)
    draw.rectangle((half_width, 0, width, half_height - 1), GREEN)
    draw.rectangle((0, half_height, half_width - 1, height), BLUE)
    draw.rectangle((half_width, half_height, width, height), YELLOW)
    return image


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind.upper(), **options)
    return file.getvalue()


def jpeg(width=120, height=80, **options):
    return encoded(corners(width, height), "jpeg", quality=95, subsampling=0, **options)


def png(width=120, height=80, **options):
    return encoded(corners(width, height), "png", **options)


def webp(width=120, height=80, **options):
    return encoded(corners(width, height), "webp", quality=95, **options)


def gif(width=120, height=80, **options):
    return encoded(corners(width, height), "gif", **options)


def avif(width=120, height=80, **options):
    return encoded(corners(width, height), "avif", quality=95, speed=10, **options)


SIMPLE = {"jpeg": jpeg, "png": png, "webp": webp, "gif": gif, "avif": avif}


def noisy(kind, width=120, height=80, **options):
    """A picture of which every byte counts."""
    pixels = Image.merge("RGB", [Image.effect_noise((width, height), 90) for _ in range(3)])
    return encoded(pixels, kind, **options)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(width, height, *more, mode=2, depth=8, pixels=b""):
    """A PNG of parts, which need not fit together."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, mode, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def black_png(width, height, channels=4):
    """A legal PNG that is far smaller than its pixels."""
    packer = zlib.compressobj(1)
    row = bytes(1 + width * channels)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_of(width, height):
    """A JPEG that claims to be of this size."""
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def gif_of(width, height):
    data = gif()
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def webp_of(width, height):
    """38 bytes that claim to be so large."""
    bits = (width - 1) | (height - 1) << 14
    body = b"WEBPVP8L" + struct.pack("<I", 18) + b"\x2f" + struct.pack("<I", bits) + bytes(13)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_of(width, height):
    data = avif()
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def many_scans(count, width=400, height=400):
    """A progressive JPEG whose last scan comes again and again."""
    data = noisy("jpeg", width, height, quality=50, progressive=True)
    last = data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, last)
    return data[:-2] + data[tables:-2] * count + data[-2:]


def with_segment(data, marker, content):
    """Put a segment into a JPEG, right after its beginning."""
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def exif_of(orientation=1, **tags):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for tag, value in tags.items():
        exif[int(tag[1:], 16)] = value
    return exif


def camera_exif():
    exif = exif_of(1, x010F="Nikon", x0110="Nikon Z 6", x013B="Ada", x8298="(c) Ada 2026")
    exif.get_ifd(0x8769).update({0x9003: "2026:05:17 13:05:09", 0x9011: "+02:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "W", 4: (13.0, 24.0, 36.0)})
    return exif


TURNED = {  # how a picture that is to be seen upright lies in the file, by its orientation
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def lying(orientation, kind, width=120, height=80):
    """A picture that has to be turned to look as `corners`."""
    turn = TURNED[orientation]
    image = corners(width, height)
    return encoded(image.transpose(turn) if turn is not None else image, kind, exif=exif_of(orientation), quality=95)


def display_p3():
    """A profile of the colours that phones write, by ICC.1:2001-04: three primaries, white, one gamma."""

    def fixed(*numbers):
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    text = b"Display P3"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 8 + 3 + 67),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ " + bytes(4) + fixed(0.5151, 0.2412, -0.0011),
        b"gXYZ": b"XYZ " + bytes(4) + fixed(0.2920, 0.6922, 0.0419),
        b"bXYZ": b"XYZ " + bytes(4) + fixed(0.1571, 0.0666, 0.7841),
        **{name: b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) for name in (b"rTRC", b"gTRC", b"bTRC")},
    }
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += padded
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + table + body


def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def frames(count, kind, width=40, height=40):
    """An animation that begins red."""
    first, *others = (
        Image.new("RGB", (width, height), (255 if not number else 0, number % 256, (number * 7) % 256))
        for number in range(count)
    )
    return encoded(first, kind, save_all=True, append_images=others, duration=50)


def deep_grey(width=256, height=16):
    """16 bits of grey from black to white."""
    values = b"".join(struct.pack("<H", column * 65535 // (width - 1)) for column in range(width)) * height
    return encoded(Image.frombytes("I;16", (width, height), values), "png")


def cmyk(width=120, height=80, **options):
    return encoded(corners(width, height).convert("CMYK"), "jpeg", quality=95, subsampling=0, **options)


def difference(one, other):
    """Return how far two pictures are apart at most, per channel, blurred the middle left out, where codecs bleed."""
    assert one.size == other.size, (one.size, other.size)
    small = [picture.convert("RGB").resize((12, 8), Image.Resampling.BOX) for picture in (one, other)]
    apart = ImageChops.difference(*small)
    apart.paste(0, (5, 0, 7, 8))
    apart.paste(0, (0, 3, 12, 5))
    return max(high for _, high in apart.getextrema())
