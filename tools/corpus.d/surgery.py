"""Editing of films byte by byte: MP4 boxes, transport packets, Matroska blocks, H.264 units."""

import struct

# Boxes that hold boxes, and the bytes before the first of them.
HEADS = {b"stsd": 8, b"avc1": 78, b"hvc1": 78, b"hev1": 78, b"meta": 4}
PACKET = 188


def box(kind, payload):
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def boxes(data):
    at = 0
    while at + 8 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        end = at + size if size else len(data)
        yield data[at + 4 : at + 8], data[at + head : end]
        at = max(end, at + 8)


def rewrite(data, path, change):
    """Changes the payload of the box at `path`, such as `moov/trak:1/tkhd`, and every size above it.

    Offsets into the film stay right as long as `moov` comes last, as ffmpeg writes it by itself.
    """
    want, _, rest = path.partition("/")
    name, _, place = want.partition(":")
    out, seen = b"", 0
    for kind, payload in boxes(data):
        if kind == name.encode():
            if seen == int(place or 0):
                skip = HEADS.get(kind, 0)
                inner = payload[skip:]
                payload = payload[:skip] + rewrite(inner, rest, change) if rest else change(payload)
            seen += 1
        out += box(kind, payload)
    return out


def edits(data, track, entries):
    """Gives a track an edit list of (milliseconds, media time in ticks or -1, rate)."""
    body = struct.pack(">II", 0, len(entries))
    for milliseconds, start, rate in entries:
        body += struct.pack(">IiI", milliseconds, start, round(rate * 65536))

    def change(trak):
        kept = [(kind, payload) for kind, payload in boxes(trak) if kind != b"edts"]
        kept.insert(1, (b"edts", box(b"elst", body)))
        return b"".join(box(*one) for one in kept)

    return rewrite(data, f"moov/trak:{track}", change)


def turned(data, matrix):
    """Gives the first track a display matrix of nine numbers."""
    values = [round(v * (1 << 30 if i % 3 == 2 else 1 << 16)) for i, v in enumerate(matrix)]
    packed = struct.pack(">9i", *values)
    return rewrite(data, "moov/trak:0/tkhd", lambda b: b[:40] + packed + b[76:])


def last_lasts(data, ticks):
    """Gives the last frame of the first track another length."""

    def change(payload):
        count = struct.unpack_from(">I", payload, 4)[0]
        runs = [list(struct.unpack_from(">II", payload, 8 + 8 * i)) for i in range(count)]
        runs[-1][0] -= 1
        runs = [run for run in runs if run[0]] + [[1, ticks]]
        return payload[:4] + struct.pack(">I", len(runs)) + b"".join(struct.pack(">II", *r) for r in runs)

    return rewrite(data, "moov/trak:0/mdia/minf/stbl/stts", change)


def longer(data, milliseconds, ticks):
    """Says of the first track that it is that long: in its headers and in its edit."""
    long = struct.pack(">I", ticks)
    data = rewrite(data, "moov/trak:0/mdia/mdhd", lambda b: b[:16] + long + b[20:])
    short = struct.pack(">I", milliseconds)
    data = rewrite(data, "moov/trak:0/tkhd", lambda b: b[:20] + short + b[24:])
    return rewrite(data, "moov/mvhd", lambda b: b[:16] + short + b[20:])


def finer(data, track, times):
    """Counts the times of a track in units that many times finer."""

    def clock(payload):
        scale, ticks = struct.unpack_from(">II", payload, 12)
        return payload[:12] + struct.pack(">II", times * scale, times * ticks) + payload[20:]

    def lengths(payload):
        values = list(struct.unpack(f">{(len(payload) - 8) // 4}I", payload[8:]))
        values[1::2] = [times * value for value in values[1::2]]
        return payload[:8] + struct.pack(f">{len(values)}I", *values)

    data = rewrite(data, f"moov/trak:{track}/mdia/mdhd", clock)
    return rewrite(data, f"moov/trak:{track}/mdia/minf/stbl/stts", lengths)


def stereo_box(data, mode):
    """Declares how two views share the picture: 1 one above the other, 2 side by side."""
    declared = box(b"st3d", struct.pack(">IB", 0, mode))
    return rewrite(data, "moov/trak:0/mdia/minf/stbl/stsd/avc1", lambda b: b + declared)


def packets(data):
    """The packets of a transport stream."""
    return [data[at : at + PACKET] for at in range(0, len(data) - PACKET + 1, PACKET)]


def pid(packet):
    return struct.unpack_from(">H", packet, 1)[0] & 0x1FFF


def without(data, unwanted):
    """A transport stream without those packets for which `unwanted(place, packet)` says so."""
    return b"".join(p for i, p in enumerate(packets(data)) if not unwanted(i, p))


VIDEO_PID, SOUND_PID = 0x100, 0x101


def of_pid(data, number):
    """Places of the packets of one elementary stream."""
    return [i for i, p in enumerate(packets(data)) if pid(p) == number]


def drop_one(data, share):
    """Loses one packet in the middle of the pictures."""
    places = of_pid(data, VIDEO_PID)
    lost = places[int(len(places) * share)]
    return without(data, lambda i, _: i == lost)


def from_the_middle(data, share):
    """A recording that was switched on late: tables first, then whatever came."""
    whole = packets(data)
    first = int(len(whole) * share)
    return b"".join(p for i, p in enumerate(whole) if i >= first or pid(p) in (0, 0x11, 0x1000) and i < 3)


def flipped(data, places):
    """Flips bits at shares of the length."""
    out = bytearray(data)
    for share in places:
        out[int(len(out) * share)] ^= 0x55
    return bytes(out)


def flip_pictures(data, shares):
    """Flips bits inside payloads of video packets only."""
    whole = [bytearray(p) for p in packets(data)]
    places = of_pid(data, VIDEO_PID)
    for share in shares:
        whole[places[int(len(places) * share)]][120] ^= 0x55
    return b"".join(bytes(p) for p in whole)


def _vint(data, at):
    length = 9 - data[at].bit_length()
    value = data[at] & ((1 << (8 - length)) - 1)
    for byte in data[at + 1 : at + length]:
        value = value << 8 | byte
    return value, length


CONTAINERS = (0x18538067, 0x1F43B675, 0xA0)
SIMPLE_BLOCK, BLOCK = 0xA3, 0xA1


def blocks(data, at=0, end=None):
    """Places of every block's payload in a Matroska file."""
    end = len(data) if end is None else end
    while at < end - 1 and data[at]:
        length = 9 - data[at].bit_length()
        kind = int.from_bytes(data[at : at + length], "big")
        size, width = _vint(data, at + length)
        body = at + length + width
        unknown = size == (1 << (7 * width)) - 1
        stop = end if unknown else min(body + size, end)
        if kind in CONTAINERS:
            yield from blocks(data, body, stop)
        elif kind in (SIMPLE_BLOCK, BLOCK):
            yield body
        at = stop


def retimed(data, track, change):
    """Gives blocks of a track other times: `change(place, milliseconds in the cluster)`."""
    out = bytearray(data)
    place = 0
    for body in blocks(data):
        number, width = _vint(data, body)
        if number == track:
            time = struct.unpack_from(">h", data, body + width)[0]
            struct.pack_into(">h", out, body + width, change(place, time))
            place += 1
    return bytes(out)


def captioned(stream, pairs):
    """Puts caption bytes (CEA-608, field 1) into every picture of an H.264 byte stream."""
    units = stream.split(b"\0\0\1")
    out, picture = units[0], 0
    for unit in units[1:]:
        if unit and unit[0] & 0x1F in (1, 5):
            pair = pairs[picture] if picture < len(pairs) else b"\x80\x80"
            body = b"\xb5\x00\x31GA94\x03\xc1\xff\xfc" + pair + b"\xff"
            out += b"\0\0\1\x06\x04" + bytes([len(body)]) + body + b"\x80"
            picture += 1
        out += b"\0\0\1" + unit
    return out
