"""What the heads of compressed frames say: their size, since OpenCV makes garbage of others than the first one's, and
whether they are shown."""

from collections.abc import Callable, Iterator

_H264_WITH_CHROMA = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}   # profiles
_JPEG_SIZES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

WITH_HIDDEN_FRAMES = {"VP80"}   # codecs that give these packets of their own
Size = tuple[int, int]


def frame_size(codec: str, packet: bytes) -> Size | None:
    """Width and height that the head of a key frame's packet states, before cropping where the codec aligns them.

    Args:
        codec: four letters, as `codec_name` gives them.
        packet: its first kilobytes, H.264 and HEVC with start codes.

    Returns:
        None for another codec, and where no size is stated.
    """
    read = _READERS.get(codec.lower())
    try:
        return read(packet) if read else None
    except (IndexError, EOFError):
        return None   # damaged, which the decoder is to say


def is_hidden(packet: bytes) -> bool:
    """Whether a packet of VP8 holds a frame that others refer to but that is never shown (RFC 6386, 9.1)."""
    return bool(packet) and not packet[0] & 16


class _Bits:
    """Bits of a byte string, the most significant first."""

    def __init__(self, content: bytes):
        self._value, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number: n zeros, a one, n bits."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def signed_golomb(self) -> int:
        number = self.golomb()
        return (number + 1) // 2 if number % 2 else -number // 2


def _h264(packet: bytes) -> Size | None:
    """ITU-T H.264, 7.3.2.1.1: the sequence parameter set, unit type 7."""
    for unit in _units(packet):
        if unit[0] & 31 == 7:
            bits = _Bits(unit[1:])
            profile = bits.read(24) >> 16
            bits.golomb()
            if profile in _H264_WITH_CHROMA:
                _skip_h264_chroma(bits)
            bits.golomb()
            _skip_h264_order(bits)
            bits.golomb()
            bits.read(1)
            width, height, is_progressive = 16 * (bits.golomb() + 1), 16 * (bits.golomb() + 1), bits.read(1)
            return width, height * (2 - is_progressive)
    return None


def _skip_h264_chroma(bits: _Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3:
        bits.read(1)
    bits.golomb()
    bits.golomb()
    bits.read(1)
    if bits.read(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = 8
    for _ in range(size):
        following = (last + bits.signed_golomb() + 256) % 256
        if not following:
            return
        last = following


def _skip_h264_order(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.read(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()


def _hevc(packet: bytes) -> Size | None:
    """ITU-T H.265, 7.3.2.2.1: the sequence parameter set, unit type 33."""
    for unit in _units(packet):
        if unit[0] >> 1 & 63 == 33:
            bits = _Bits(unit[2:])
            bits.read(4)
            layers = bits.read(3)
            bits.read(1 + 88 + 8)
            flags = [(bits.read(1), bits.read(1)) for _ in range(layers)]
            if layers:
                bits.read(2 * (8 - layers))
            for has_profile, has_level in flags:
                bits.read(88 * has_profile + 8 * has_level)
            bits.golomb()
            if bits.golomb() == 3:
                bits.read(1)
            return bits.golomb(), bits.golomb()
    return None


def _units(packet: bytes) -> Iterator[bytes]:
    """What stands between start codes, without the bytes that keep start codes out of it."""
    for unit in packet.split(b"\0\0\1")[1:]:
        if unit:
            yield unit.replace(b"\0\0\3", b"\0\0")


def _mpeg2(packet: bytes) -> Size | None:
    """ISO/IEC 13818-2, 6.2.2.1, and MPEG-1: the sequence header."""
    place = packet.find(b"\0\0\1\xb3")
    bits = _Bits(packet[place + 4:place + 7])
    return (bits.read(12), bits.read(12)) if place >= 0 else None


def _vp8(packet: bytes) -> Size | None:
    """RFC 6386, 9.1."""
    if packet[0] & 1 or packet[3:6] != b"\x9d\x01\x2a":
        return None
    return (packet[6] | packet[7] << 8) & 0x3FFF, (packet[8] | packet[9] << 8) & 0x3FFF


def _vp9(packet: bytes) -> Size | None:
    """VP9 bitstream specification, 6.2: the uncompressed header."""
    bits = _Bits(packet[:32])
    bits.read(2)
    profile = bits.read(1) + 2 * bits.read(1)
    bits.read(1 if profile == 3 else 0)
    shows_old, is_between = bits.read(1), bits.read(1)
    bits.read(2)
    if shows_old or is_between or bits.read(24) != 0x498342:
        return None
    bits.read(1 if profile >= 2 else 0)
    is_rgb = bits.read(3) == 7
    bits.read((0 if is_rgb else 1) + (profile % 2) * (1 if is_rgb else 3))
    return bits.read(16) + 1, bits.read(16) + 1


def _jpeg(packet: bytes) -> Size | None:
    """ITU-T T.81, B.2.2: the frame header, found from segment to segment."""
    place = 2
    while packet[place] == 0xFF:
        marker, length = packet[place + 1], int.from_bytes(packet[place + 2:place + 4], "big")
        if marker in _JPEG_SIZES:
            bits = _Bits(packet[place + 5:place + 9])
            height, width = bits.read(16), bits.read(16)
            return width, height
        place += 2 + length
    return None


_READERS: dict[str, Callable[[bytes], Size | None]] = {
    **dict.fromkeys(("h264", "avc1", "x264", "avc3"), _h264),
    **dict.fromkeys(("hevc", "hvc1", "hev1", "h265"), _hevc),
    **dict.fromkeys(("mpg1", "mpg2", "mpeg", "mp2v", "mp1v", "m2v1"), _mpeg2),
    **dict.fromkeys(("mjpg", "jpeg", "mjpa"), _jpeg),
    "vp80": _vp8,
    "vp90": _vp9,
    "vp09": _vp9,
}
