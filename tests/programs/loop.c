// Does one thing many times and prints nanoseconds for each: loop WHAT TIMES
//
// fail: execve of a missing file with 3 arguments and 4 variables; getppid: a system call that has
// nothing to do with exec; succeed: vfork and execve of /bin/true, waited for.

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *const arguments[] = {"program", "--flag", "value", NULL};
static char *const variables[] = {"PATH=/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=xterm", NULL};

static void fail(void) { execve("/nonexistent/program", arguments, variables); }

static void unrelated(void) { syscall(SYS_getppid); }

static void succeed(void) {
    pid_t child = vfork();
    if (!child) {
        execve("/bin/true", arguments, variables);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    long times = atol(argv[2]);
    void (*what)(void) = !strcmp(argv[1], "fail") ? fail : !strcmp(argv[1], "getppid") ? unrelated : succeed;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (long i = 0; i < times; i++)
        what();
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.0f\n", ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / times);
    return 0;
}
