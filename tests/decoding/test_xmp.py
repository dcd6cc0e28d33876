"""What a file says of how it was made: in every format, beside what its provider said, read by another library."""

import io
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from darkroom.decoding.codecs import encode, encode_png
from darkroom.decoding.xmp import ALGORITHMIC, COMPOSITE, LARGEST, TRAINED, Mark, marked, source_type
from tests.support import readback
from tests.support.hostile_pictures import picture
from tests.support.readback import xmp_of

FORMATS: dict[str, dict[str, int]] = {
    "WEBP": {"quality": 90, "method": 2},
    "JPEG": {"quality": 92},
    "PNG": {},
    "AVIF": {"quality": 75, "speed": 8},
}
MARK = Mark(TRAINED, "gemini", "gemini-nano-banana-2.1", "0b6b0c8e-9a3f-4b61-a1a1-6f4c5f0e7b11")

THEIRS = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" photoshop:Credit="Made with Google AI"'
    ' Iptc4xmpExt:DigitalSourceType="SOURCE"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">Größe</rdf:li></rdf:Alt>'
    '</dc:title></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
CAMERA = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


def theirs(source: str = TRAINED) -> bytes:
    return THEIRS.replace("SOURCE", source).encode()


def answer(kind: str, packet: bytes) -> bytes:
    """A provider's picture that carries a packet."""
    if kind != "PNG":
        return picture(kind, xmp=packet)
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet.decode())
    return picture(kind, pnginfo=chunks)


@pytest.mark.parametrize("kind", FORMATS)
class TestEveryFormat:
    def test_a_file_says_that_a_model_made_it_which_and_for_which_job(self, kind: str) -> None:
        said = xmp_of(encode(picture(), kind, FORMATS[kind], MARK))
        assert said[readback.SOURCE_TYPE] == readback.TRAINED
        assert (said[readback.SYSTEM], said[readback.MODEL], said[readback.JOB]) == (MARK.system, MARK.model, MARK.job)

    @pytest.mark.parametrize("came", ["JPEG", "PNG", "WEBP"])
    def test_what_the_provider_said_is_kept(self, kind: str, came: str) -> None:
        said = xmp_of(encode(answer(came, theirs()), kind, FORMATS[kind], MARK))
        assert said["Xmp.photoshop.Credit"] == "Made with Google AI"
        assert "Größe" in str(said["Xmp.dc.title"])
        assert said[readback.SOURCE_TYPE] == readback.TRAINED
        assert said[readback.JOB] == MARK.job

    def test_without_a_mark_the_providers_own_packet_stays(self, kind: str) -> None:
        said = xmp_of(encode(answer("PNG", theirs(CAMERA)), kind, FORMATS[kind]))
        assert said[readback.SOURCE_TYPE] == CAMERA
        assert readback.JOB not in said
        assert xmp_of(encode(picture(), kind, FORMATS[kind])) == {}

    def test_the_same_picture_is_the_same_bytes(self, kind: str) -> None:
        once, again = (encode(answer("JPEG", theirs()), kind, FORMATS[kind], MARK) for _ in range(2))
        assert once == again

    def test_the_pixels_are_those_of_a_file_without_a_mark(self, kind: str) -> None:
        marked_file, plain = (encode(picture(), kind, FORMATS[kind], mark) for mark in (MARK, None))
        assert pixels(marked_file) == pixels(plain)

    @pytest.mark.parametrize(
        "packet",
        [
            b"no xml at all",
            b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF",
            b"<html/>",
            b"<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'>]>" + theirs().replace(b"Made", b"&b;"),
            theirs().replace(b"Made", b"\xff\xfe"),
            b"<a>" * 20_000,
        ],
        ids=["text", "cut", "html", "entities", "not-utf-8", "deep"],
    )
    def test_a_packet_that_is_no_xmp_makes_room_for_the_mark(self, kind: str, packet: bytes) -> None:
        said = xmp_of(encode(picture("WEBP", xmp=packet), kind, FORMATS[kind], MARK))
        assert said[readback.SOURCE_TYPE] == readback.TRAINED
        assert "Xmp.photoshop.Credit" not in said

    def test_a_packet_too_large_for_a_jpeg_leaves_room_for_the_mark(self, kind: str) -> None:
        large = theirs().replace(b"Made", b"M" * 66_000)
        said = xmp_of(encode(picture("WEBP", xmp=large), kind, FORMATS[kind], MARK))
        assert said[readback.SOURCE_TYPE] == readback.TRAINED
        assert ("Xmp.photoshop.Credit" in said) is (kind != "JPEG")
        encode(picture("WEBP", xmp=large), kind, FORMATS[kind])


def pixels(data: bytes) -> Any:
    return Image.open(io.BytesIO(data)).convert("RGBA").tobytes()


@pytest.mark.parametrize(
    ("said", "wanted"),
    [(CAMERA, TRAINED), ("", TRAINED), (ALGORITHMIC, TRAINED), (TRAINED, TRAINED), (COMPOSITE, COMPOSITE)],
)
def test_a_provider_may_be_more_precise_and_never_say_that_it_is_a_photograph(said: str, wanted: str) -> None:
    assert source_type(marked(MARK, theirs(said))) == wanted


def test_a_property_is_said_once_however_the_provider_wrote_it() -> None:
    resource = (
        theirs()
        .replace(b' Iptc4xmpExt:DigitalSourceType="' + TRAINED.encode() + b'">', b">")
        .replace(b"<dc:title>", b'<Iptc4xmpExt:DigitalSourceType rdf:resource="' + CAMERA.encode() + b'"/><dc:title>')
    )
    for packet in (theirs(CAMERA), resource, marked(Mark(ALGORITHMIC, job="another"), theirs(CAMERA))):
        written = marked(MARK, packet)
        assert written.count(b"DigitalSourceType") == 2  # where it begins and where it ends
        assert (written.count(b"TransmissionReference>"), source_type(written)) == (2, TRAINED)


def test_a_mark_of_anything_is_xml() -> None:
    odd = Mark(TRAINED, "<a>&\x00\ud800\ufffe", 'model "1" \x08', "j]]>")
    said = xmp_of(picture("WEBP", xmp=marked(odd)))
    assert (said[readback.SYSTEM], said[readback.MODEL], said[readback.JOB]) == ("<a>&", 'model "1" ', "j]]>")


def test_a_packet_larger_than_any_providers_is_left_out() -> None:
    assert len(marked(MARK, theirs() + b" " * LARGEST)) < 2_000


def test_a_cover_says_what_its_page_says() -> None:
    page = encode(picture(), "WEBP", FORMATS["WEBP"], MARK)
    assert xmp_of(encode_png(page)) == xmp_of(page)
