// Fails to exec from many processes at once, which then stay: crowd PATH PROCESSES
//
// Each process execs PATH, without further arguments, and writes one byte to standard output once that has
// failed. At the end of standard input all of them are killed.

#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_PROCESSES = 16384 };

static pid_t started[MOST_PROCESSES];

static void fail(const char *path)
{
    char *const argv[] = {(char *)path, NULL};
    char *const envp[] = {NULL};
    execve(path, argv, envp);
    if (write(1, ".", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int processes = atoi(argv[2]);
    if (processes < 1 || processes > MOST_PROCESSES)
        return 2;
    int count = 0;
    while (count < processes) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0)
            fail(argv[1]);
        started[count++] = pid;
    }
    char byte;
    while (count == processes && read(0, &byte, 1) > 0) {
    }
    for (int number = 0; number < count; number++)
        kill(started[number], SIGKILL);
    for (int number = 0; number < count; number++)
        waitpid(started[number], NULL, 0);
    return count < processes;
}
