"""Compiled modules without what only a debugger reads: a tenth of their size, zipped.

A wheel's modules may come with a table of all their symbols, and with its names. They are in sections of no
segment: the loader neither maps them nor looks at them, it has tables of its own (``.dynsym``). They are
filled with zeros, which compress to nothing, and everything stays where it is.

Source: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html and ch4.sheader.html, for 64 bits.
"""

import struct

MAGIC = b"\x7fELF\x02\x01"
"""64 bits, little-endian: both of Lambda's processors."""

_SECTION_TABLE = struct.Struct("<40xQ10xHHH")
"""Of the header: where the table of sections is, an entry's size, their number, the one with their names."""
_SECTION = struct.Struct("<4xIQ8xQQI")
"""Type, flags, offset in the file, size, and for a table of symbols the section with their names."""
_SYMBOLS = 2
_IN_MEMORY = 2


def without_symbols(module: bytes) -> bytes:
    """Return the module with zeros in place of its symbols and their names; what is no ELF file as it is."""
    if not module.startswith(MAGIC):
        return module
    start, size, count, section_names = _SECTION_TABLE.unpack_from(module)
    sections = [_SECTION.unpack_from(module, start + number * size) for number in range(count)]
    content = bytearray(module)
    for table in sections:
        kind, flags, _, _, names = table
        if kind == _SYMBOLS and not flags & _IN_MEMORY and names != section_names:
            for _, _, offset, length, _ in (table, sections[names]):
                content[offset : offset + length] = bytes(length)
    return bytes(content)
