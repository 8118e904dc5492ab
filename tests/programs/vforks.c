// Execs its arguments in a vfork child: vforks PATH ARGV0 ARG...
//
// It waits for a byte on descriptor 3, and writes there, as two 32-bit ints, the child's pid and the
// negative errno; then it waits to be let go.

#include <errno.h>
#include <unistd.h>

enum { SOCKET = 3 };

extern char **environ;

int main(int argc, char **argv)
{
    static volatile int report[2]; // the child writes it: vfork shares the memory
    char byte;
    if (argc < 3 || read(SOCKET, &byte, 1) != 1)
        return 1;
    pid_t child = vfork();
    if (child == 0) {
        execve(argv[1], argv + 2, environ);
        report[1] = -errno;
        _exit(127);
    }
    report[0] = child;
    if (write(SOCKET, (const void *)report, sizeof report) != sizeof report)
        return 1;
    return read(SOCKET, &byte, 1) < 0;
}
