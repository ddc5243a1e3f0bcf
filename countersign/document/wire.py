"""What a worker and the processes that parse for it say to each other."""

import struct
from typing import Final

READY: Final = b"r"
"""Said once, when the readers are loaded."""
HEADER: Final = struct.Struct("=QB")
"""What comes before a document: limit on its size in bytes, and length of its media type, which follows."""
TEXT: Final = b"t"
"""First byte of an answer that is a `DocumentText` as JSON."""
REFUSED: Final = b"r"
"""First byte of an answer that is a `DocumentError` as JSON: message and remedy."""
FAILED: Final = b"f"
"""First byte of an answer that says as JSON how and where the reader itself failed."""
OUT_OF_MEMORY: Final = 9
"""Exit code of a child that was refused memory."""
REPORT: Final = struct.Struct("=iqq")
"""What is said of a child when it has ended: wait status, peak memory in KB, computing time in microseconds."""
