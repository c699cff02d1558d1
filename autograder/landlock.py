"""Taking rights away from the own process, for good: Linux's Landlock, which needs no special rights itself.

The numbers are those of linux/landlock.h and linux/prctl.h (docs.kernel.org/userspace-api/landlock.html).
"""

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls
PATH_BENEATH = 1
EXECUTE, WRITE, READ, LIST, TRUNCATE, IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE | READ | TRUNCATE | IOCTL  # the others are rights on folders
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights on files each version knows; 16 from the fifth on
TCP, ABSTRACT_SOCKETS_AND_SIGNALS = 0b11, 0b11  # to connect and to listen; to processes outside
SET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS = 36, 38


def version() -> int:
    """Which version of Landlock there is; 0 for none."""
    return max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1)) if sys.platform == "linux" else 0


def adopt_orphans() -> None:
    """Become the parent of processes below this one whose parent ends."""
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def prepare(readable: Sequence[Path], writable: Path) -> Callable[[], None]:
    """What makes the calling process one that may only read some paths, write in one folder, and use no TCP."""
    libc, there = ctypes.CDLL(None, use_errno=True), version()
    all_rights = (1 << RIGHTS.get(there, 16)) - 1
    attributes = struct.pack("QQQ", all_rights, TCP, ABSTRACT_SOCKETS_AND_SIGNALS)[: 8 if there < 4 else 16 if there < 6 else 24]

    def allow(ruleset: int, path: Path, rights: int) -> None:
        try:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # it is not there, or out of reach anyway
            return
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & ON_FILES, beneath)
        check(libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0))
        os.close(beneath)

    def confine() -> None:
        ruleset = check(libc.syscall(CREATE_RULESET, attributes, len(attributes), 0))
        for path in readable:
            may_write = WRITE if path.parent == Path("/dev") else 0
            allow(ruleset, path, EXECUTE | READ | LIST | may_write)
        allow(ruleset, writable, all_rights)
        check(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        check(libc.syscall(RESTRICT_SELF, ruleset, 0))

    return confine


def check(result: int) -> int:
    """The result of a system call. Raises OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
