// Fails to exec from many threads at once: storm PATH MARKER THREADS TIMES
//
// Each thread execs PATH, TIMES times, with the arguments MARKER and "THREAD-TIME", and an empty
// environment. Prints each thread's tid, in order.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_THREADS = 64 };

static const char *path, *marker;
static int times;
static long tids[MOST_THREADS];
static pthread_barrier_t together;

static void *fail(void *number)
{
    long thread = (long)number;
    char which[32];
    char *const argv[] = {(char *)marker, which, NULL};
    char *const envp[] = {NULL};
    tids[thread] = syscall(SYS_gettid);
    pthread_barrier_wait(&together);
    for (int time = 0; time < times; time++) {
        snprintf(which, sizeof which, "%ld-%d", thread, time);
        execve(path, argv, envp);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    path = argv[1];
    marker = argv[2];
    int threads = atoi(argv[3]);
    times = atoi(argv[4]);
    if (threads < 1 || threads > MOST_THREADS)
        return 2;
    pthread_t started[MOST_THREADS];
    pthread_barrier_init(&together, NULL, threads);
    for (long thread = 0; thread < threads; thread++)
        if (pthread_create(&started[thread], NULL, fail, (void *)thread))
            return 1;
    for (int thread = 0; thread < threads; thread++)
        pthread_join(started[thread], NULL);
    for (int thread = 0; thread < threads; thread++)
        printf("%ld\n", tids[thread]);
    return 0;
}
