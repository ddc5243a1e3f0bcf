"""Become a server that dies with its supervisor. Run as a script; imports nothing of the project.

Arguments: supervisor pid, signal to receive when it dies, user id, group id (-1: stay who we are), command...

A separate program, and not a `preexec_fn`: that one would run Python between fork and exec in a process that has the
threads of the Temporal client, where a lock can be held for ever.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Drop privileges, tie this process to its supervisor (Linux), and become the command."""
    supervisor, death_signal, user, group = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
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


if __name__ == "__main__":
    main(sys.argv[1:])
