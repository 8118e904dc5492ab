// Does one thing many times and prints nanoseconds for each: loop WHAT TIMES [PATH [COUNT]]
//
// The work is timed in PARTS parts, and the fastest one is told: the others tell what else the machine did.
//
// fail: execve of PATH, or of a missing file, with 3 arguments and 4 variables; fail-large: with 40
// arguments and 60 variables; fail-in-turn: of PATH with a number behind it, from 0 to COUNT - 1 and again;
// getppid: a system call that has nothing to do with exec; succeed: vfork and execve of /bin/true, waited for.

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, PARTS = 40 };

static const char *path = "/nonexistent/program";
static char *arguments[MOST] = {"program", "--flag", "value"};
static char *variables[MOST] = {"PATH=/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=xterm"};

static void grow(char **array, int from, int to, const char *shape)
{
    for (int i = from; i < to; i++)
        if (asprintf(&array[i], shape, i) < 0)
            exit(1);
}

static void fail(void)
{
    execve(path, arguments, variables);
}

static char **in_turn;
static long count, turn;

static void fail_in_turn(void)
{
    execve(in_turn[turn], arguments, variables);
    if (++turn == count)
        turn = 0;
}

static void unrelated(void)
{
    syscall(SYS_getppid);
}

static void succeed(void)
{
    pid_t child = vfork();
    if (!child) {
        execve("/bin/true", arguments, variables);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc < 3 || atol(argv[2]) < PARTS)
        return 2;
    if (argc > 3)
        path = argv[3];
    long times = atol(argv[2]);
    void (*what)(void) = !strncmp(argv[1], "fail", 4)  ? fail
                         : !strcmp(argv[1], "getppid") ? unrelated
                                                       : succeed;
    if (!strcmp(argv[1], "fail-in-turn")) {
        count = argc > 4 ? atol(argv[4]) : 1;
        in_turn = calloc(count, sizeof(*in_turn));
        for (long i = 0; i < count; i++)
            if (asprintf(&in_turn[i], "%s%ld", path, i) < 0)
                return 1;
        what = fail_in_turn;
    }
    if (!strcmp(argv[1], "fail-large")) {
        grow(arguments, 3, 40, "--option-%d=value");
        grow(variables, 4, 60, "VARIABLE_%d=a value of some length");
    }
    double fastest = 0;
    for (int part = 0; part < PARTS; part++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (long i = 0; i < times / PARTS; i++)
            what();
        clock_gettime(CLOCK_MONOTONIC, &end);
        double took = (end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec);
        if (!part || took < fastest)
            fastest = took;
    }
    printf("%.0f\n", fastest / (times / PARTS));
    return 0;
}
