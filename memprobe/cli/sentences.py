"""What goes wrong, as one sentence that says what to do."""

from __future__ import annotations

import errno
import os

from memprobe.errors import Error


class Cannot(Exception):
    """Something that the command line itself finds impossible; the message is the sentence."""


KNOWN = (Cannot, Error, OSError, MemoryError)

OF_A_FILE = {
    errno.ENOENT: "{folder} has no {name}: check the path.",
    errno.ENOTDIR: "{path} goes through something that is not a directory: check the path.",
    errno.EISDIR: "{path} is a directory: name a file.",
    errno.EINVAL: "{path} is not a regular file: name another one.",
    errno.ENAMETOOLONG: "The name of {path} is too long: choose a shorter one.",
    errno.EACCES: "{path} may not be used by this user: ask its owner, or choose another file.",
    errno.EPERM: "{path} may not be used by this user: ask its owner, or choose another file.",
    errno.EROFS: "{folder} is read-only: choose another place with -o FILE.",
    errno.ENOSPC: "The disk of {folder} is full and {name} was not written: free some space, or choose another place with -o FILE.",
    errno.EDQUOT: "The quota for {folder} is used up and {name} was not written: choose another place with -o FILE.",
    errno.EFBIG: "{name} would be larger than the process that writes it may, or its disk can: raise `ulimit -f`, or use -o FILE.",
    errno.ELOOP: "{path} is a loop of symbolic links: name another file.",
}


def sentence(problem: BaseException) -> str:
    """For any of KNOWN."""
    if isinstance(problem, MemoryError):
        return "There is not enough memory to read this heap: use a machine with more."
    if isinstance(problem, OSError) and homeless(problem.filename):
        return "The current folder was removed: go to another one, and try again."
    if isinstance(problem, OSError) and isinstance(problem.filename, str):
        path = problem.filename
        pattern = OF_A_FILE.get(problem.errno or 0, "{path} cannot be used: {reason}.")
        folder, name = os.path.dirname(os.path.abspath(path)), os.path.basename(path)
        return pattern.format(path=path, folder=folder, name=name, reason=problem.strerror)
    text = str(problem).strip() or type(problem).__name__
    return text if text.endswith((".", "?")) else f"{text}."


def homeless(path: object) -> bool:
    """Whether a path, if it is one, begins at a current folder that is gone."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return not (isinstance(path, str) and os.path.isabs(path))
    return False
