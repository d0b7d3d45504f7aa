// Package childproc runs a program to its end and leaves none of it behind.
//
// A command runs in a session of its own, and with it in a process group of its own, which the children that it starts
// belong to as well, however deep. Whenever the command ends, by itself, after its timeout or because its context ended,
// what is left of the group is ended too: SIGTERM first, SIGKILL after a grace. A process that leaves the group on
// purpose (setsid, job control of a shell) is beyond reach, and so is one that runs as another user (sudo).
//
// The command also ends with the process that runs it, even if that is killed with SIGKILL: a small shell, the guard,
// waits on a pipe that only the running process holds open, and ends the group when it breaks. PR_SET_PDEATHSIG would
// take no helper, but it reaches the first process only and not the children of, say, npm or sh; it is bound to the
// thread that forked rather than to the process; and only Linux has it. Where there is no /bin/sh there is no guard.
//
// Nothing helps against a process that is frozen and not dead: its command runs on.
//
// Standard output and standard error are one pipe, so that their lines keep their order; which of the two a line was
// written to is not known.
package childproc
