"""A file that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from memprobe._native import Held


@contextmanager
def replacing(path: str) -> Iterator[Held]:
    """A descriptor to write the new contents of `path` to, readable by its owner alone. They have no name until they are whole,
    where the file system can do that, and a temporary one beside it otherwise. When the block ends well they take the name; for a
    moment they have the temporary one where an old file has it, which stays as it was until then. An OSError names `path`."""
    try:
        refuse_special(path)
        folder = os.path.dirname(path) or "."
        temporary = os.path.join(folder, f".memprobe-{secrets.token_hex(8)}.tmp")
        file, named = open_new(folder, temporary)
        try:
            with file as held:
                yield held
                if not held.intact():
                    raise OSError(errno.EBADF, "the program closed the file meanwhile")
                os.fsync(held.fd)
                if not named:
                    try:
                        link(held.fd, path)
                    except FileExistsError:
                        link(held.fd, temporary)
                        named = True
            if named:
                os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(folder)
    except OSError as error:
        error.filename, error.filename2 = path, None
        raise


def open_new(folder: str, temporary: str) -> tuple[Held, bool]:
    """A new file in a folder, and whether it has the temporary name already: without one, nothing is left when we are killed."""
    with suppress(OSError):
        file = Held.open(folder, os.O_WRONLY | os.O_TMPFILE)
        if os.path.exists(f"/proc/self/fd/{file.fd}"):
            return file, False
        file.close()
    return Held.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW), True


def link(fd: int, name: str) -> None:
    """Give a file that has no name one that nobody has."""
    # a directory's descriptor, though unused, makes os.link follow the symbolic link
    os.link(f"/proc/self/fd/{fd}", name, src_dir_fd=fd, follow_symlinks=True)


def refuse_special(path: str) -> None:
    """A device, pipe or folder is not replaced by a file."""
    with suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, "not a regular file", path)


def sync_folder(folder: str) -> None:
    """The new name survives a power cut, where the file system knows how."""
    with suppress(OSError), Held.open(folder, os.O_RDONLY | os.O_DIRECTORY) as held:
        os.fsync(held.fd)
