"""Names in an exported run, shared by its writer and its reader."""

from __future__ import annotations

JOURNAL, EVENTS = "journal", "events"
"""What is in the file beside the tree of the run."""

RECORD = "record"
"""A group's attribute: its record as JSON text, sealed as in the run."""

CHECKSUM = "crc32c"
"""A dataset's attribute: CRC-32C of its elements, little-endian, in order."""

INNER_CHUNK, DIMENSIONS = "inner_chunk", "dimension_names"
"""A dataset's attributes: what of the array's layout in the run its shape does not tell."""

ABOUT = "about"
