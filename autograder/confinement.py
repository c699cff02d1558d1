"""Taking rights away from the current process, for good, before it runs a stranger's code (Linux).

Landlock keeps it from files, TCP and signals to other processes, a seccomp filter from sockets (except between its own
processes), other processes' limits, memory and keys that belong to no process and, where it shares its user with others, from
what Landlock lets it change of their files. Root loses its capabilities. The numbers are from the kernel's headers: landlock.h,
prctl.h, seccomp.h, bpf_common.h, unistd.h (docs.kernel.org: userspace-api/landlock, userspace-api/seccomp_filter).
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls
PATH_BENEATH = 1
EXECUTE, WRITE, READ, LIST, TRUNCATE, IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE | READ | TRUNCATE | IOCTL  # the others are rights on folders
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many file-system rights each version knows; 16 from the fifth on
TCP, ABSTRACT_SOCKETS_AND_SIGNALS = 0b11, 0b11  # to bind and connect; to processes outside
KNOWS_TCP, KNOWS_SIGNALS = 4, 6  # from these versions on

SET_SECCOMP, CAPBSET_DROP, SET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS = 22, 24, 36, 38
LAST_CAPABILITY = 40
FILTER_MODE, ALLOW, REFUSE = 2, 0x7FFF0000, 0x00050000 | 13  # EACCES
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
# by architecture: its seccomp number; those of socket, memfd_create, io_uring_setup; shmget, msgget, semget; add_key, request_key, keyctl
ARCHITECTURES = {
    "x86_64": (0xC000003E, (41, 319, 425, 29, 68, 64, 248, 249, 250)),
    "aarch64": (0xC00000B7, (198, 279, 425, 194, 186, 190, 217, 218, 219)),
}
# chmod, chown, utime and setxattr in all their forms, by path or by descriptor: the owner's rights, which Landlock does not know
OWNERS_CALLS = {
    "x86_64": (90, 91, 268, 452, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 463, 466, 469),
    "aarch64": (52, 53, 452, 54, 55, 88, 5, 6, 7, 14, 15, 16, 463, 466, 469),
}
SET_LIMITS = {"x86_64": 302, "aarch64": 261}  # prlimit64, also of any other process of the same user
FOREIGN = 0x40000000  # from here on, x86_64 has the same calls under other numbers


def landlock_version() -> int:
    """The kernel's version of Landlock; 0 for none."""
    return max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1)) if sys.platform == "linux" else 0


def has_filter() -> bool:
    """Whether this machine's system calls are known here."""
    return sys.platform == "linux" and platform.machine() in ARCHITECTURES


def adopt_orphans() -> None:
    """Become the parent of any descendant whose own parent ends."""
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def prepare(readable: Sequence[Path], writable: Path, shares_user: bool) -> Callable[[], None]:
    """A function that confines the calling process: it may only read some paths and write in one folder, and reaches nobody.

    `shares_user` says that other files than its own have the same owner.
    """
    libc, version = ctypes.CDLL(None, use_errno=True), landlock_version()
    rules = filter_program(shares_user) if has_filter() else None

    def confine() -> None:
        if os.geteuid() == 0:
            for capability in range(LAST_CAPABILITY + 1):
                libc.prctl(CAPBSET_DROP, capability, 0, 0, 0)  # so what it executes next has none
        check(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        if version:
            restrict_files(libc, version, readable, writable)
        if rules is not None:
            check(libc.prctl(SET_SECCOMP, FILTER_MODE, ctypes.byref(rules), 0, 0))

    return confine


def restrict_files(libc: ctypes.CDLL, version: int, readable: Sequence[Path], writable: Path) -> None:
    """Landlock's part."""
    all_rights = (1 << RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("QQQ", all_rights, TCP, ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = attributes[: 8 if version < KNOWS_TCP else 16 if version < KNOWS_SIGNALS else 24]
    ruleset = check(libc.syscall(CREATE_RULESET, attributes, len(attributes), 0))

    def allow(path: Path, rights: int) -> None:
        try:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # it is not there, or out of reach anyway
            return
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & ON_FILES, beneath)
        check(libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0))
        os.close(beneath)

    for path in readable:
        allow(path, EXECUTE | READ | LIST | (WRITE if path.parent == Path("/dev") else 0))
    allow(writable, all_rights)
    check(libc.syscall(RESTRICT_SELF, ruleset, 0))


class Program(ctypes.Structure):
    """A seccomp filter: struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def filter_program(shares_user: bool) -> Program:
    """A filter that refuses the system calls of ARCHITECTURES, an owner's if asked, and all of another architecture or numbering.

    Limits are refused to be set, or seen, unless of process 0, which is the caller.
    """
    architecture, refused = ARCHITECTURES[platform.machine()]
    refused += OWNERS_CALLS[platform.machine()] if shares_user else ()
    end = len(refused) + 5  # where the jumps below lead, counted from the first comparison of the number
    lines = [
        (LOAD, 0, 0, 4),  # the architecture
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, 0),  # the number of the call
        (JUMP_IF_AT_LEAST, end - 1, 0, FOREIGN),
        *((JUMP_IF_EQUAL, end - 2 - n, 0, number) for n, number in enumerate(refused)),
        (JUMP_IF_EQUAL, 0, 2, SET_LIMITS[platform.machine()]),
        (LOAD, 0, 0, 16),  # the call's first argument: a process
        (JUMP_IF_EQUAL, 0, 1, 0),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = Program(len(lines), ctypes.addressof(buffer))
    program.kept = buffer  # the structure holds only its address
    return program


def check(result: int) -> int:
    """The result of a system call. Raises OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
