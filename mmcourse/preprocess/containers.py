"""Whether a sound file holds as much sound as its header says.

libsndfile decodes exactly as many samples as a header states, or as many as the file happens to hold, and reports
neither case. Here each container is walked before it is decoded. A file that was cut short, or that holds more than its
header says, is refused; where a stream legally states no length, the length is filled in, so that all of it is decoded.
"""

import re
import struct
from typing import NamedTuple

from mmcourse.preprocess.errors import InputError

DOWNLOAD_AGAIN = "it was cut short: download or record it again"
REWRITE = "its header is wrong: write the file again, for instance with ffmpeg -i damaged.wav whole.wav"
MAX_PADDING = 1024  # samples; the blocks of WAV's codecs are shorter
UNKNOWN_SIZE = 0x7FFF0000  # programs that write to a pipe put this, or more, where they do not know the size
OTHER_FORMATS = {  # what people try to read as a sound; libsndfile knows none of them
    b"ftyp": (4, "MP4 or M4A (AAC)"),
    b"\x1aE\xdf\xa3": (0, "WebM or Matroska"),
    b"0&\xb2u": (0, "WMA"),
    b"#!AMR": (0, "AMR"),
    b"MThd": (0, "MIDI, which holds notes and no sound"),
    b"ADIF": (0, "AAC"),
    b"AVI ": (8, "AVI"),
}


class Sound(NamedTuple):
    """Bytes for the decoder, and what the header says about the samples per channel, where it says anything."""

    data: bytes
    num_samples: int | None = None  # so many, neither more nor fewer
    num_without_padding: int | None = None  # so many; what a codec decodes beyond them fills its last block


def check_container(data: bytes, name: str) -> Sound:
    """Check the stated length of WAV, RF64, W64, AIFF, AU, CAF, NIST, FLAC, Ogg or MP3 against what `data` holds.

    Raises
    ------
    InputError
        Cut short, more sound than the header states, or another format.
    """
    magic = data[:4]
    if magic in (b"RIFF", b"RIFX", b"RF64", b"BW64") and data[8:12] == b"WAVE":
        return _check_riff(data, name)
    if magic == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _check_aiff(data, name)
    if magic == b"riff":
        return _check_w64(data, name)
    if magic in (b".snd", b"dns."):
        return _check_au(data, name)
    if magic == b"caff":
        return _check_caf(data, name)
    if magic == b"NIST":
        return _check_nist(data, name)
    if magic == b"OggS":
        return _check_ogg(data, name)
    start = _skip_id3v2(data, 0)
    if data[start : start + 4] == b"fLaC":
        return _check_flac(data[start:], name)
    first_frame = _find_frame(data, start, 1 << 16)
    if first_frame is not None:
        return _check_mp3(data, first_frame, name)
    for mark, (offset, format) in OTHER_FORMATS.items():
        if data[offset : offset + len(mark)] == mark:
            remedy = "convert it, for instance with ffmpeg -i sound.m4a sound.wav"
            raise InputError(name, f"cannot be decoded as a sound (this is {format})", remedy)
    remedy = "check that it is a whole WAV, FLAC, OGG, MP3 or AIFF file, or convert it to one of them"
    raise InputError(name, "cannot be decoded as a sound (no known format)", remedy)


# ---- containers made of chunks ------------------------------------------------------------------------------------


def _check_riff(data: bytes, name: str) -> Sound:
    order = ">" if data[:4] == b"RIFX" else "<"
    chunks = _find_chunks(data, 12, order, b"data")
    if b"data" not in chunks:
        raise _no_sound_chunk(name)
    start, size = chunks[b"data"]
    if b"ds64" in chunks and size == 0xFFFFFFFF:  # RF64: the real size is here
        ds64 = chunks[b"ds64"][0]
        size, num_samples = struct.unpack_from("<QQ", data, ds64 + 8)
        _check_extent(data, start, size, name)
        return Sound(data, num_samples or None)
    fact = chunks.get(b"fact", (0, 0))[0]
    num_samples = struct.unpack_from(order + "I", data, fact)[0] if fact else None
    return Sound(_check_or_fill(data, start, size, start - 4, order + "I", name), num_without_padding=num_samples)


def _check_aiff(data: bytes, name: str) -> Sound:
    chunks = _find_chunks(data, 12, ">", b"SSND")
    if b"SSND" not in chunks or b"COMM" not in chunks or len(data) < chunks[b"COMM"][0] + 18:
        raise _no_sound_chunk(name)
    start, size = chunks[b"SSND"]
    data = _check_or_fill(data, start, size, start - 4, ">I", name)
    comm, comm_size = chunks[b"COMM"]
    channels, num_frames, bits = struct.unpack_from(">HIH", data, comm)
    coding = data[comm + 18 : comm + 22] if data[8:12] == b"AIFC" and comm_size >= 22 else b"NONE"
    stated = num_frames * channels * ((bits + 7) // 8)
    held = struct.unpack_from(">I", data, start - 4)[0] - 8
    if coding in (b"NONE", b"twos", b"sowt") and num_frames and stated != held:
        raise InputError(name, f"its header states {stated:,} bytes of samples, but its chunk {held:,}", REWRITE)
    return Sound(data)


def _check_w64(data: bytes, name: str) -> Sound:
    position = 40  # after the file's own identifier, size and type
    while position + 24 <= len(data):
        size = struct.unpack_from("<q", data, position + 16)[0]  # counts its own 24 bytes
        if data[position : position + 4] == b"data":
            _check_extent(data, position + 24, size - 24, name, align=8)
            return Sound(data[: position + size])  # libsndfile takes what follows for sound
        if size < 24:
            break
        position += (size + 7) // 8 * 8
    raise _no_sound_chunk(name)


def _check_caf(data: bytes, name: str) -> Sound:
    position = 8
    while position + 12 <= len(data):
        size = struct.unpack_from(">q", data, position + 4)[0]
        start = position + 12
        if data[position : position + 4] == b"data":
            if size == -1:  # legal in the last chunk: up to the end of the file
                size = len(data) - start
                data = data[: position + 4] + struct.pack(">q", size) + data[start:]
            _check_extent(data, start, size, name, id_format=">q")
            return Sound(data)
        if size < 0:
            break
        position = start + size
    raise _no_sound_chunk(name)


def _check_au(data: bytes, name: str) -> Sound:
    order = ">" if data[:4] == b".snd" else "<"
    if len(data) < 24:
        raise _no_sound_chunk(name)
    start, size = struct.unpack_from(order + "II", data, 4)
    data = _check_or_fill(data, start, size, 8, order + "I", name)
    size = struct.unpack_from(order + "I", data, 8)[0]
    return Sound(data[: start + size])


def _check_nist(data: bytes, name: str) -> Sound:
    header = data[:1024].decode("latin-1")
    found = {key: re.search(rf"{key} -i (\d+)", header) for key in ("sample_count", "channel_count", "sample_n_bytes")}
    size_line = re.match(r"NIST_1A\s+(\d+)", header)
    if size_line is None or not found["sample_count"]:
        raise _no_sound_chunk(name)
    size = 1
    for match in found.values():
        size *= int(match[1]) if match else 1
    start = int(size_line[1])
    _check_extent(data, start, size, name)
    return Sound(data[: start + size], int(found["sample_count"][1]))


def _find_chunks(data: bytes, position: int, order: str, last: bytes) -> dict[bytes, tuple[int, int]]:
    """Identifier → (start, stated size) of each chunk up to the one named `last`."""
    chunks: dict[bytes, tuple[int, int]] = {}
    while position + 8 <= len(data):
        identifier = data[position : position + 4]
        size = struct.unpack_from(order + "I", data, position + 4)[0]
        chunks.setdefault(identifier, (position + 8, size))
        if identifier == last:
            break
        position += 8 + size + size % 2
    return chunks


def _check_or_fill(data: bytes, start: int, size: int, field: int, format: str, name: str) -> bytes:
    """Check a chunk's size; where it was left open by a program that wrote to a pipe, fill it in."""
    held = len(data) - start
    unfinished = size == 0 and held >= 8 and not _is_chunk(data[start:])
    if unfinished or (size >= UNKNOWN_SIZE and size > held):
        filled = struct.pack(format, held)
        return data[:field] + filled + data[field + len(filled) :]
    _check_extent(data, start, size, name)
    return data


def _check_extent(data, start, size, name, *, align=2, id_format="<I") -> None:
    """Refuse a chunk of sound that goes beyond the end of the file, or that ends before the sound does."""
    held = len(data) - start
    if size > held:
        problem = f"its header promises {size:,} bytes of sound, but it holds {max(held, 0):,}"
        raise InputError(name, problem, DOWNLOAD_AGAIN)
    end = start + max(size, 0)
    rests = (data[end:], data[end + -size % align :])  # many programs forget the bytes that align the next chunk
    if not any(_is_chunk(rest, id_format) for rest in rests):
        problem = f"its header promises {size:,} bytes of sound, but {held - size:,} more bytes follow"
        raise InputError(name, problem, REWRITE)


def _is_chunk(rest: bytes, id_format: str = "<I") -> bool:
    """Whether what follows the sound is no sound: nothing, zeros, an ID3 tag, or another chunk."""
    if len(rest) < 8 or not rest.strip(b"\0") or rest[:3] in (b"TAG", b"ID3"):
        return True
    identifier = rest[:4]
    if identifier in (b"RIFF", b"RIFX", b"RF64", b"FORM", b"riff", b"caff", b".snd", b"fLaC", b"OggS"):
        return False  # another file
    if not re.fullmatch(rb"[A-Za-z0-9(_\xa9][A-Za-z0-9 _)]{3}", identifier):
        return False
    if id_format == ">q" or len(rest) < 24:
        return True
    sizes = struct.unpack("<I", rest[4:8]) + struct.unpack(">I", rest[4:8]) + struct.unpack("<Q", rest[16:24])
    return min(sizes) <= len(rest)


def _no_sound_chunk(name: str) -> InputError:
    return InputError(name, "cannot be decoded as a sound (its header ends before any sound)", DOWNLOAD_AGAIN)


# ---- FLAC and Ogg -------------------------------------------------------------------------------------------------


def _check_flac(data: bytes, name: str) -> Sound:
    if len(data) < 42:
        raise _no_sound_chunk(name)
    if b"fLaC\0\0\0\x22" in data[4:]:
        raise _several(name, "FLAC")
    stated = struct.unpack_from(">Q", data, 18)[0] & 0xFFFFFFFFF  # 36 bits; 0 means unknown
    data = data[:21] + bytes([data[21] & 0xF0]) + bytes(4) + data[26:]  # unknown: the decoder goes on to the end
    if data[-128:-125] == b"TAG":
        data = data[:-128]
    return Sound(data, stated or None)


def _check_ogg(data: bytes, name: str) -> Sound:
    position = 0
    ended: set[int] = set()
    granules: dict[int, int] = {}
    while data[position : position + 4] == b"OggS" and position + 27 <= len(data):
        flags, granule, serial = struct.unpack_from("<BqI", data, position + 5)
        segments = data[position + 27 : position + 27 + data[position + 26]]
        end = position + 27 + data[position + 26] + sum(segments)
        if len(segments) < data[position + 26] or end > len(data):
            raise InputError(name, f"its page at byte {position:,} is not complete", DOWNLOAD_AGAIN)
        if flags & 2 and ended:
            raise _several(name, "Ogg")
        if 0 <= granule < granules.get(serial, 0):
            problem = f"its page at byte {position:,} ends at sample {granule:,}, before the one in front of it"
            raise InputError(name, problem, REWRITE)
        granules[serial] = max(granule, granules.get(serial, 0))
        if flags & 4:
            ended.add(serial)
        position = end
    if set(granules) - ended:
        raise InputError(name, "the page that ends the stream is missing", DOWNLOAD_AGAIN)
    return Sound(data)


def _several(name: str, format: str) -> InputError:
    problem = f"holds several {format} streams, one after another, of which only the first would be decoded"
    return InputError(name, problem, "split it, or convert it with ffmpeg -i several.ogg one.wav")


# ---- MP3 ----------------------------------------------------------------------------------------------------------

BITRATES = {  # kbit/s by the header's index; 0 ("free format") and 15 (reserved) are not decoded
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
LAYER_3 = 3
PROTECTION_OFF = 1 << 16  # no checksum after the header
PADDING = 1 << 9
EMPTY_TAG = b"ID3\x04" + bytes(5) + b"\x0a" + bytes(10)  # libsndfile does not recognize every bare MPEG header


class Frame(NamedTuple):
    """What the four bytes at the start of each MPEG audio frame say (ISO 11172-3 and 13818-3)."""

    header: int
    version: int  # 1, or 2 for MPEG 2 and 2.5
    layer: int
    sample_rate: int
    length: int  # bytes, header included
    num_samples: int  # per channel

    @property
    def tag_offset(self) -> int:
        """Where a Xing or Info tag begins: after the header and the (empty) side information of layer 3."""
        mono = self.header >> 6 & 3 == 3
        if self.version == 1:
            return 4 + (17 if mono else 32)
        return 4 + (9 if mono else 17)

    def same_stream(self, other: "Frame") -> bool:
        return self[1:4] == other[1:4]


def parse_frame(data: bytes, position: int) -> Frame | None:
    """The frame whose header is at `position`, or None."""
    if position + 4 > len(data) or data[position] != 0xFF or data[position + 1] < 0xE0:
        return None
    header = struct.unpack_from(">I", data, position)[0]
    version_bits, layer_bits = header >> 19 & 3, header >> 17 & 3
    bitrate_index, rate_index = header >> 12 & 15, header >> 10 & 3
    if version_bits == 1 or layer_bits == 0 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    version, layer = (1 if version_bits == 3 else 2), 4 - layer_bits
    sample_rate = (44_100, 48_000, 32_000)[rate_index] // {3: 1, 2: 2, 0: 4}[version_bits]
    bitrate = 1000 * BITRATES[version, layer][bitrate_index - 1]
    num_samples = 384 if layer == 1 else 576 if (version, layer) == (2, LAYER_3) else 1152
    padding = header >> 9 & 1
    if layer == 1:
        length = (12 * bitrate // sample_rate + padding) * 4
    else:
        length = num_samples // 8 * bitrate // sample_rate + padding
    return Frame(header, version, layer, sample_rate, length, num_samples)


def _find_frame(data: bytes, start: int, limit: int) -> int | None:
    """The first place, at most `limit` bytes after `start`, where two frames of one stream follow each other."""
    for position in range(start, min(start + limit, len(data))):
        frame = parse_frame(data, position)
        if frame is None:
            continue
        following = parse_frame(data, position + frame.length)
        at_end = position == start and position + frame.length >= len(data) - 128
        if at_end or (following is not None and following.same_stream(frame)):
            return position
    return None


def _check_mp3(data: bytes, position: int, name: str) -> Sound:
    """Count the frames. The count is then written into a Xing tag, without which libsndfile only estimates it."""
    start = position
    first = parse_frame(data, position)
    assert first is not None
    num_frames = 0
    while position < len(data):
        frame = parse_frame(data, position)
        if frame is not None and frame.same_stream(first):
            if position + frame.length > len(data):
                raise InputError(name, f"its last frame, at byte {position:,}, is not complete", DOWNLOAD_AGAIN)
            num_frames += 1
            position += frame.length
            continue
        following = _skip_tags(data, position)
        if following == position:
            problem = f"{len(data) - position:,} bytes from byte {position:,} on cannot be decoded as MP3"
            raise InputError(name, problem, "it is damaged there: download it again, or convert it from its source")
        position = following
    body = data[start:]
    tag = first.tag_offset
    if first.layer == LAYER_3 and body[tag : tag + 4] in (b"Xing", b"Info"):
        num_frames -= 1  # the frame that carries the tag is no sound
        flags, stated = struct.unpack_from(">II", body, tag + 4)
        if flags & 1:
            if num_frames < stated:
                problem = f"its header promises {stated:,} frames, but it holds {num_frames:,}"
                raise InputError(name, problem, DOWNLOAD_AGAIN)
            body = body[: tag + 8] + struct.pack(">I", num_frames) + body[tag + 12 :]
    elif first.layer == LAYER_3:
        body = _xing_frame(first, num_frames) + body
    return Sound(EMPTY_TAG + body, num_frames * first.num_samples if first.layer != LAYER_3 else None)


def _xing_frame(first: Frame, num_frames: int) -> bytes:
    """A silent frame that states how many frames follow."""
    header = first.header & ~(15 << 12) & ~PADDING | PROTECTION_OFF | 9 << 12  # a bitrate that makes room for the tag
    frame = parse_frame(struct.pack(">I", header), 0)
    assert frame is not None
    tag = b"Xing" + struct.pack(">II", 1, num_frames)
    return (struct.pack(">I", header).ljust(frame.tag_offset, b"\0") + tag).ljust(frame.length, b"\0")


def _skip_tags(data: bytes, position: int) -> int:
    """The end of an ID3 or APE tag, or of a row of zeros, that begins at `position`."""
    rest = data[position : position + 32]
    if rest[:3] == b"TAG":
        return min(position + 128, len(data))
    if rest[:8] == b"APETAGEX" and len(rest) == 32:
        size, flags = struct.unpack_from("<I4xI", rest, 12)
        header = 32 if flags >> 29 & 1 else 0  # the size leaves out the tag's header
        return min(position + (size + header if header else 32), len(data))
    if rest[:1] == b"\0":
        end = position + len(data[position:]) - len(data[position:].lstrip(b"\0"))
        return end
    return _skip_id3v2(data, position)


def _skip_id3v2(data: bytes, position: int) -> int:
    if data[position : position + 3] != b"ID3" or len(data) < position + 10:
        return position
    size = 0
    for byte in data[position + 6 : position + 10]:
        size = size << 7 | byte & 0x7F
    return min(position + 10 + size, len(data))
