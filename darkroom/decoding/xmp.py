"""The XMP by which a file says how its picture was made (spec §3): written, added to what is there, and read.

The same mark gives the same bytes: there is no time of day in it, and no version of ours.
"""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
META = "adobe:ns:meta/"

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = f"{SOURCE_TYPES}trainedAlgorithmicMedia"
"""Made by a model that learned from samples: what a generating provider draws."""
ALGORITHMIC = f"{SOURCE_TYPES}algorithmicMedia"
"""Made by a program that learned from nothing, as the offline provider is."""
COMPOSITE = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
"""Of pictures, some of which such a model made: what a provider may say, more precisely than we can."""

LARGEST = 256 * 1024
"""Bytes of a packet that is kept; no provider's has a hundredth of that."""

LARGEST_IN_JPEG = 65_502
"""Bytes: one segment, without its head."""

# What packets are usually written with. Names of others come out as ns0, ns1, which mean the same; a registry that grew
# with what is read would give the same picture other bytes in another process.
for _prefix, _uri in {
    "x": META,
    "rdf": RDF,
    "Iptc4xmpExt": IPTC,
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "photoshop": PHOTOSHOP,
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "stRef": "http://ns.adobe.com/xap/1.0/sType/ResourceRef#",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
}.items():
    ElementTree.register_namespace(_prefix, _uri)

_ABOUT = f"{{{RDF}}}about"
_RDF = f"{{{RDF}}}RDF"
_DESCRIPTION = f"{{{RDF}}}Description"
_SOURCE_TYPE = f"{{{IPTC}}}DigitalSourceType"
_SYSTEM = f"{{{IPTC}}}AISystemUsed"
_VERSION = f"{{{IPTC}}}AISystemVersionUsed"
_JOB = f"{{{PHOTOSHOP}}}TransmissionReference"
"""IPTC's Job Identifier."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


@dataclass(frozen=True)
class Mark:
    """How a picture was made, and for which job.

    Args:
        source_type: IPTC's term for it.
        system: the provider; None where it is not known.
        model: that it drew with.
        job: whose picture it is.
    """

    source_type: str
    system: str | None = None
    model: str | None = None
    job: str | None = None


def marked(mark: Mark, there: bytes | None = None, longest: int = LARGEST) -> bytes:
    """A packet that says so, and all that the one which is there says beside.

    A packet that is no XMP, or that does not fit with the mark into `longest` bytes, is left out. Where a provider
    itself says that a model made or changed the picture, its word is kept.
    """
    packet = _root(there)
    if packet is not None:
        _add(packet, mark)
        written = _written(packet)
        if len(written) <= longest:
            return written
    packet = ElementTree.Element(f"{{{META}}}xmpmeta")
    ElementTree.SubElement(packet, _RDF)
    _add(packet, mark)
    return _written(packet)


def kept(packet: bytes | None, longest: int = LARGEST) -> bytes | None:
    """A packet of somebody else as it is, where it is XMP and fits."""
    return packet if packet and len(packet) <= longest and _root(packet) is not None else None


def source_type(packet: bytes | None) -> str | None:
    """IPTC's term for how a picture was made, as its packet has it."""
    root = _root(packet)
    return None if root is None else next(iter(_found(root, _SOURCE_TYPE)), None)


def _root(packet: bytes | None) -> ElementTree.Element | None:
    """The packet with its one `rdf:RDF`, or None for what is no XMP."""
    if packet is None or len(packet) > LARGEST:
        return None
    try:
        text = packet.rstrip(b"\0").decode("utf-8-sig").strip()
        if "<!DOCTYPE" in text:  # its entities may grow while they are read
            return None
        root = ElementTree.fromstring(text)  # noqa: S314 - no document type, and not large
    except (ElementTree.ParseError, ValueError):
        return None
    if root.tag == _RDF:  # some writers leave the wrapping out
        whole = ElementTree.Element(f"{{{META}}}xmpmeta")
        whole.append(root)
        return whole
    return root if root.find(_RDF) is not None else None


def _add(packet: ElementTree.Element, mark: Mark) -> None:
    rdf = packet.find(_RDF)
    assert rdf is not None
    about = next((it.get(_ABOUT) for it in rdf if it.get(_ABOUT)), "")
    told = [value for value in _found(packet, _SOURCE_TYPE) if value in (TRAINED, COMPOSITE)]
    ours = {_SOURCE_TYPE: told[0] if told else mark.source_type, _JOB: mark.job}
    if not (_found(packet, _SYSTEM) or _found(packet, _VERSION)):
        ours |= {_SYSTEM: mark.system, _VERSION: mark.model}
    for name in (name for name, value in ours.items() if value is not None):
        _remove(rdf, name)
    description = ElementTree.SubElement(rdf, _DESCRIPTION, {_ABOUT: about or ""})
    for name, value in ours.items():
        if value is not None:
            ElementTree.SubElement(description, name).text = _FORBIDDEN.sub("", value)


def _found(packet: ElementTree.Element, name: str) -> list[str]:
    """The values of a property of the picture itself: a property, or an attribute in its place."""
    found = []
    for description in packet.iterfind(f"{_RDF}/{_DESCRIPTION}"):
        if name in description.attrib:
            found.append(description.attrib[name])
        found += [_value(there) for there in description.iterfind(name)]
    return [value for value in found if value]


def _value(there: ElementTree.Element) -> str:
    return "".join(there.itertext()).strip() or there.get(f"{{{RDF}}}resource", "")


def _remove(rdf: ElementTree.Element, name: str) -> None:
    for description in rdf.iterfind(_DESCRIPTION):
        description.attrib.pop(name, None)
        for there in description.findall(name):
            description.remove(there)


def _written(packet: ElementTree.Element) -> bytes:
    body: bytes = ElementTree.tostring(packet, "utf-8", xml_declaration=False)
    return b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>' + body + b'<?xpacket end="r"?>'
