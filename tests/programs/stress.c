// Fails to exec in every way at once, and counts on its own: stress DIRECTORY SECONDS SEED UID UID2
//
// DIRECTORY has "text" (ENOEXEC), "unmappable" (killed after the point of no return), "succeeds", and the
// directories 00 to 99, so that existing files have as many paths as there are execs. Each exec has an id,
// which is in its path, its argv and its envp; argv also has the tid and a filler whose length and letter
// follow from the id. It runs as root, and its execs as UID (always recorded) and UID2.
//
// Prints, for UID and then UID2, how many execs were begun, and how many of them were seen to fail by the
// caller, or by the parent of one that was killed. They differ by those killed from outside meanwhile.

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 8, FILLER = 3000, STACK = 1 << 16 };

struct count {
    atomic_ulong begun, failed;
};

static struct shared {
    struct count counts[2];
    atomic_uint next_id;
} *shared;

static const char *directory;
static uid_t uids[2];
static time_t end;
static unsigned random_state;

static unsigned chance(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

// What one exec passes. It lies below 4 GiB, where 32-bit callers can point to.
struct call {
    char path[256], name[8], id[16], tid[16], variable[32], filler[FILLER + 1];
    char *argv[6], *envp[2];
    uint32_t argv32[6], envp32[2];
};

static struct call *new_call(void)
{
    struct call *call = mmap(NULL, sizeof *call, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT | MAP_POPULATE, -1, 0);
    if (call == MAP_FAILED)
        give_up("mmap");
    return call;
}

// Fills in the next exec: of a file of the directory, or of one that is missing where `file` is NULL.
static void prepare(struct call *call, const char *file)
{
    unsigned id = atomic_fetch_add(&shared->next_id, 1);
    snprintf(call->id, sizeof call->id, "%08u", id % 100000000);
    if (file)
        snprintf(call->path, sizeof call->path, "%s/%.2s/../%.2s/../%.2s/../%.2s/../%s", directory, call->id,
                 call->id + 2, call->id + 4, call->id + 6, file);
    else
        snprintf(call->path, sizeof call->path, "/execwhy-stress/%s", call->id);
    snprintf(call->tid, sizeof call->tid, "%ld", syscall(SYS_gettid));
    snprintf(call->variable, sizeof call->variable, "ID=%s", call->id);
    unsigned length = id % 7 ? id % 97 : id % FILLER;
    memset(call->filler, 'a' + id % 26, length);
    call->filler[length] = 0;
    strcpy(call->name, "stress");
    char *const argv[] = {call->name, call->id, call->tid, call->filler, NULL};
    memcpy(call->argv, argv, sizeof argv);
    call->envp[0] = call->variable;
    call->envp[1] = NULL;
}

static void count_begun(int who)
{
    atomic_fetch_add(&shared->counts[who].begun, 1);
}

static void count_failed(int who)
{
    atomic_fetch_add(&shared->counts[who].failed, 1);
}

static void fail(struct call *call, int who, const char *file)
{
    prepare(call, file);
    count_begun(who);
    if (chance(2))
        execve(call->path, call->argv, call->envp);
    else
        syscall(SYS_execveat, AT_FDCWD, call->path, call->argv, call->envp, 0);
    count_failed(who);
}

static void fail_in_32_bits(struct call *call, int who)
{
    long result;
    prepare(call, chance(2) ? "text" : NULL);
    for (int i = 0; i < 5; i++)
        call->argv32[i] = (uint32_t)(uintptr_t)call->argv[i];
    call->envp32[0] = (uint32_t)(uintptr_t)call->envp[0];
    call->envp32[1] = 0;
    count_begun(who);
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(11), "b"((uint32_t)(uintptr_t)call->path), "c"((uint32_t)(uintptr_t)call->argv32),
                       "d"((uint32_t)(uintptr_t)call->envp32)
                     : "memory", "r8", "r9", "r10", "r11");
    if ((int)result >= 0)
        give_up("int80");
    count_failed(who);
}

struct task {
    struct call *call;
    int who;
};

static void *fail_in_thread(void *argument)
{
    struct task *task = argument;
    fail(task->call, task->who, chance(2) ? "text" : NULL);
    return NULL;
}

static void *succeed_in_thread(void *argument)
{
    struct task *task = argument;
    fail(task->call, task->who, NULL);
    prepare(task->call, "succeeds");
    execve(task->call->path, task->call->argv, task->call->envp);
    give_up("succeeds");
    return NULL;
}

static void *wait_in_thread(void *argument)
{
    (void)argument;
    pause();
    return NULL;
}

static void in_thread(struct call *call, int who, void *(*what)(void *))
{
    struct task task = {call, who};
    pthread_t thread;
    if (pthread_create(&thread, NULL, what, &task))
        give_up("pthread_create");
    pthread_join(thread, NULL);
}

// A thread that is not the leader execs, and the kernel ends all others, the leader too.
static void succeed_from_non_leader(struct call *call, int who)
{
    pid_t child = fork();
    if (!child) {
        pthread_t other;
        if (pthread_create(&other, NULL, wait_in_thread, NULL))
            _exit(1);
        in_thread(call, who, succeed_in_thread);
        _exit(1);
    }
    int status;
    if (waitpid(child, &status, 0) < 0 || status)
        give_up("an exec that should succeed");
}

static void be_killed_by_the_exec(struct call *call, int who)
{
    // Here, so that the child's memory says nothing else.
    prepare(call, "unmappable");
    count_begun(who);
    pid_t child = fork();
    if (!child) {
        snprintf(call->tid, sizeof call->tid, "%d", getpid());
        execve(call->path, call->argv, call->envp);
        _exit(1);
    }
    int status;
    if (waitpid(child, &status, 0) < 0 || !WIFSIGNALED(status))
        give_up("an exec that should kill");
    count_failed(who);
}

static void fail_in_fork(struct call *call, int who)
{
    pid_t child = fork();
    if (!child) {
        for (unsigned times = chance(4); times; times--)
            fail(call, who, chance(3) ? NULL : "text");
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void fail_in_vfork(struct call *call, int who)
{
    pid_t child = vfork();
    if (!child) {
        prepare(call, NULL);
        count_begun(who);
        execve(call->path, call->argv, call->envp);
        count_failed(who);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void be_killed_meanwhile(struct call *call, int who)
{
    pid_t child = fork();
    if (!child)
        for (;;)
            fail(call, who, chance(4) ? "text" : NULL);
    usleep(chance(1500));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void work(int number)
{
    struct call *call = new_call();
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    int who = number % 2;
    if (setresgid(uids[who], uids[who], uids[who]) || setresuid(uids[who], uids[who], uids[who]))
        give_up("setresuid");
    while (time(NULL) < end) {
        unsigned kind = chance(64);
        if (kind < 2 && !who)
            be_killed_meanwhile(call, who);
        else if (kind < 4)
            be_killed_by_the_exec(call, who);
        else if (kind < 7)
            succeed_from_non_leader(call, who);
        else if (kind < 12)
            fail_in_fork(call, who);
        else if (kind < 17)
            fail_in_vfork(call, who);
        else if (kind < 22)
            in_thread(call, who, fail_in_thread);
        else if (kind < 34)
            fail_in_32_bits(call, who);
        else
            fail(call, who, chance(2) ? "text" : NULL);
        usleep(chance(4000)); // else more comes than any reader takes, and nothing is proved but the losses
    }
    _exit(0);
}

// Every child has the same tid, each right after the one before it has ended.
static void reuse_a_tid(void)
{
    struct call *call = new_call();
    pid_t tid = fork();
    if (!tid)
        _exit(0);
    waitpid(tid, NULL, 0);
    while (time(NULL) < end) {
        struct clone_args arguments = {
            .exit_signal = SIGCHLD,
            .set_tid = (uintptr_t)&tid,
            .set_tid_size = 1,
        };
        long child = syscall(SYS_clone3, &arguments, sizeof arguments);
        if (!child) {
            if (setresuid(uids[0], uids[0], uids[0]))
                _exit(1);
            fail(call, 0, NULL);
            if (chance(2))
                fail(call, 0, "text");
            _exit(0);
        }
        if (child < 0)
            tid++; // someone else has it by now
        else
            waitpid(child, NULL, 0);
        usleep(500);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    directory = argv[1];
    end = time(NULL) + atol(argv[2]);
    uids[0] = atoi(argv[4]);
    uids[1] = atoi(argv[5]);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        give_up("mmap");
    for (int number = 0; number <= WORKERS; number++) {
        random_state = atoi(argv[3]) * 2654435761u + number * 40503u + 1;
        pid_t child = fork();
        if (child < 0)
            give_up("fork");
        if (!child && number == WORKERS)
            reuse_a_tid();
        if (!child)
            work(number);
    }
    int status, result = 0;
    while (wait(&status) > 0)
        result |= status;
    for (int who = 0; who < 2; who++)
        printf("%lu %lu\n", shared->counts[who].begun, shared->counts[who].failed);
    return result != 0;
}
