"""What a file really is, from its first bytes: for messages that say more than "cannot be decoded"."""

import re

ISO_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"avci", b"avcs"}
ISO_AVIF = {b"avif", b"avis"}
ISO_PICTURE = ISO_HEIC | ISO_AVIF | {b"mif1", b"mif2", b"msf1", b"miaf", b"pict", b"crx "}
SIGNATURES = {  # regular expression for the first bytes → what it is
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg": "an SVG drawing, which has no pixels",
    rb"\s*(<!doctype html|<html|<head)": "a web page: the download gave a page instead of the file",
    rb"%PDF": "a PDF document",
    rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript program",
    rb"8BPS": "a Photoshop document",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "JPEG XL",
    rb"PK\x03\x04": "a ZIP archive, a document or a NumPy .npz",
    rb"\x1f\x8b": "a gzip archive: unpack it first",
    rb"\x93NUMPY": "a NumPy array: read it with np.load",
    rb"\x89HDF|CDF": "HDF5 or NetCDF",
    rb"version https://git-lfs": "a Git LFS pointer: run git lfs pull",
    rb"RIFF....WAVE|fLaC|OggS|ID3": "a sound",
}


def iso_brands(data: bytes) -> set[bytes]:
    """The brands of an ISO base media file (MP4, MOV, HEIC, AVIF): the major one, then those it is compatible with."""
    if data[4:8] != b"ftyp" or len(data) < 12:
        return set()
    end = max(16, min(int.from_bytes(data[:4], "big"), len(data), 400))
    compatible = {data[i : i + 4] for i in range(16, end - 3, 4)}
    return {data[8:12]} | compatible


def is_heic(data: bytes) -> bool:
    """Whether these bytes are a picture coded as a frame of HEVC or H.264, and not as AVIF."""
    brands = iso_brands(data)
    return _is_iso_picture(data) and not brands & ISO_AVIF


def is_avif(data: bytes) -> bool:
    """Whether these bytes are an AVIF picture."""
    return _is_iso_picture(data) and bool(iso_brands(data) & ISO_AVIF)


def is_video(data: bytes) -> bool:
    """Whether these bytes are MP4, MOV, WebM, Matroska, AVI, MPEG, WMV or Flash video: by content, not by name."""
    if data[4:8] == b"ftyp":
        return len(data) >= 12 and not _is_iso_picture(data)
    if data[4:8] in (b"moov", b"mdat", b"wide", b"free") and len(data) >= 8:  # QuickTime before brands existed
        return True
    return (
        data[:4] in (b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"0&\xb2u")
        or data[:3] == b"FLV"
        or (data[:4] == b"RIFF" and data[8:12] == b"AVI ")
    )


def _is_iso_picture(data: bytes) -> bool:
    brands = iso_brands(data)
    major = data[8:12]
    if major in ISO_PICTURE:
        return True
    return bool(brands & (ISO_HEIC | ISO_AVIF | {b"mif1", b"msf1"})) and not major.startswith((b"mp4", b"iso", b"qt"))


def foreign_format(data: bytes) -> str | None:
    """What these bytes are, if they are something well known that is no picture; None otherwise."""
    start = data[:1024]
    for pattern, description in SIGNATURES.items():
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            return f"this is {description}"
    return None
