"""Every bound of a continuation, with its unit, its reason and what happens on overflow."""

from __future__ import annotations

from typing import Final

FORMAT_VERSION: Final = 1
"""Of the encoding. It goes up when what an older reader would make of it is wrong; a newer one is refused."""

ENCODED_MAX: Final = 4 * 1024 * 1024
"""Bytes of an encoded continuation; a longer one is refused, before anything of it is read."""

DECODED_MAX: Final = 4 * 1024 * 1024
"""Bytes of a continuation before compression: attributes, and what execve(2) takes with the usual limits
(2 MiB), twice over. One that claims to be longer is refused before it is decompressed."""

NAME_MAX: Final = 255
"""Characters of the name of an attribute, function, descriptor or tag, and of a tag's value."""

ATTRIBUTE_MAX: Final = 256 * 1024
"""Bytes of the value of one attribute; a longer one is refused."""

ATTRIBUTES_MAX: Final = 1024
"""Attributes of a session; one more is refused."""

ATTRIBUTES_TOTAL_MAX: Final = 1024 * 1024
"""Bytes of all names (in UTF-8) and values of a session; what goes beyond is refused, nothing is dropped."""

EXPORTED_TOTAL_MAX: Final = 16 * 1024
"""Bytes of all names and values that the peer is told: the paper speaks of small amounts of state (V-A)."""

DESCRIPTORS_MAX: Final = 249
"""Descriptors of a continuation: one message carries them all, behind the continuation's own memory file."""

TAGS_MAX: Final = 256
"""Compatibility tags of a continuation, or of a program's vector; more are refused."""

VECTORS_MAX: Final = 256
"""Programs for which one user may register a vector; one more is refused."""

PARENTS_MAX: Final = 16
"""Sessions on which one session may depend; one more is refused."""

ARGUMENTS_MAX: Final = 65_536
"""Arguments of a process; more are refused."""

VARIABLES_MAX: Final = 16_384
"""Environment variables of a process; more are refused."""

GROUPS_MAX: Final = 65_536
"""Supplementary groups of a process: the kernel's own limit (NGROUPS_MAX)."""

SIGNALS_MAX: Final = 64
"""Signals of a mask: the kernel's own limit (_NSIG)."""

RESOURCES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the resources of a continuation before compression: some connections with all their buffers (the
kernel's usual limits are 6 MiB to receive and 4 MiB to send); more are refused."""
