"""Pictures that Darkroom does not read, told by their first bytes, so that a message can say what to do."""

from collections.abc import Mapping

_BRANDS: Mapping[bytes, str] = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1", b"mif2", b"miaf"), "HEIF"),
}
"""Of ISO base media files, the most telling first: AVIF and HEIC name mif1 too."""

_BEGINNINGS: Mapping[bytes, str] = {
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"8BPS": "Photoshop",
}


def foreign_format(data: bytes) -> str | None:
    """The name of a picture format other than PNG, JPEG and WebP; None where the bytes say none."""
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), 256)
        named = {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}
        return next((name for brand, name in _BRANDS.items() if brand in named), None)
    return next((name for beginning, name in _BEGINNINGS.items() if data.startswith(beginning)), None)
