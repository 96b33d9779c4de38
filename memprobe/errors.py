"""What memprobe raises beside TypeError, ValueError, MemoryError and OSError. Each message says what to do next."""


class Error(Exception):
    """The base of memprobe's own errors."""


class SnapshotError(Error):
    """A file is not a snapshot, is damaged, or is of a newer format."""


class AttachError(Error):
    """A process cannot be asked: it is not there, has no agent, or belongs to somebody else."""


class UnsupportedError(Error, ImportError):
    """memprobe does not know this interpreter or platform, or a private structure is not as it should be."""
