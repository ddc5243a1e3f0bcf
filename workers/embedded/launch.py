"""Become a server that dies with its supervisor. Run as a script; imports nothing of the project.

Arguments: supervisor pid, signal to receive when it dies, user id, group id (-1: stay who we are), niceness, command...

A separate program, and not a `preexec_fn`: that one would run Python between fork and exec in a process that has the
threads of the Temporal client, where a lock can be held for ever.
"""

import contextlib
import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Drop privileges, tie this process to its supervisor (Linux), and become the command."""
    supervisor, death_signal, user, group, niceness = (int(argument) for argument in arguments[:5])
    command = arguments[5:]
    step_back(niceness)
    os.umask(0o077)  # what the servers write is their owner's alone
    if user >= 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if sys.platform == "linux":
        # After setuid, which would clear it; kept over exec.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != supervisor:  # it died before the line above
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


def step_back(niceness: int) -> None:
    """Let others have the processor first. Before the command has threads, which would each have a niceness of its own.

    Where the kernel groups processes by session (autogroup), as desktops and some servers do, only the group's counts.
    """
    if niceness > 0:
        os.nice(niceness)
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:  # noqa: PTH123
            group.write(str(niceness))


if __name__ == "__main__":
    main(sys.argv[1:])
