"""The XMP of a file as Exiv2 reads it, which did not write it."""

import pyexiv2

SOURCE_TYPE = "Xmp.iptcExt.DigitalSourceType"
SYSTEM = "Xmp.iptcExt.AISystemUsed"
MODEL = "Xmp.iptcExt.AISystemVersionUsed"
JOB = "Xmp.photoshop.TransmissionReference"

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
ALGORITHMIC = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"


def xmp_of(data: bytes) -> dict[str, str]:
    """By name, what the file of a picture says."""
    with pyexiv2.ImageData(data) as image:
        return dict(image.read_xmp())
