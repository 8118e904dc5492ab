// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The hooks at which an exec begins and ends. In the files hooks*.c, each function is one kind of hook, and
 * its comment says when the kernel calls it and what is valid there. bpf/program/plans.py says where they are
 * attached.
 */

/*
 * Return values that are not passed to the caller (include/linux/errno.h): from ERESTARTSYS to
 * ERESTART_RESTARTBLOCK.
 */
#define FIRST_RESTART 512
#define LAST_RESTART 516

static __always_inline bool has_failed(s64 return_value)
{
    s64 error = -return_value;
    /*
     * A call that is interrupted is restarted or fails with EINTR: decided later, on the way to a signal
     * handler.
     */
    return error > 0 && error <= MAX_ERRNO && (error < FIRST_RESTART || error > LAST_RESTART);
}

/*
 * The call has not failed, so drop what was kept for it, or a later one would find it: it was interrupted, or
 * it was a check (AT_EXECVE_CHECK, since 6.14) that has passed, which returns 0 without starting a program.
 * Every system call comes here; nearly always nothing is kept, and one look-up shows that.
 */
static __always_inline void forget_unfailed(s64 return_value)
{
    bool is_interrupted = return_value <= -FIRST_RESTART && return_value >= -LAST_RESTART;
    if (return_value && !is_interrupted)
        return;
    u64 task = bpf_get_current_task();
    if (is_interrupted || kept_of(task))
        forget(task);
}

/* The context of sys_exit, and of the fexit hook of a system call's function. */
struct exit_context {
    u64 registers; /* struct pt_regs * */
    s64 return_value;
};

/* The caller has set `s->call`, and dirfd, flags and bits of `s->record`. */
static __always_inline void record_failure(void *ctx, struct scratch *s, s64 return_value, u64 task)
{
    s->record.return_value = return_value;
    write_record(ctx, s, task);
    release(s);
    forget(task);
}

/* Count a failure for which no scratch or tail call was available. */
static __always_inline void count_crowded(void)
{
    count(COUNTER(crowded), true);
}

#if !JOINED
struct enter_context {
    u64 common;
    u32 number;
    u32 padding;
    u64 first;
    u64 second;
};

/*
 * Tracepoints sys_enter_execve and sys_enter_execveat: a 64-bit call begins, and seccomp has let it pass.
 * Next the kernel copies the path. If that is on a page that was not touched yet, it cannot be read here.
 */
int on_call(struct enter_context *ctx)
{
    /* The compiler must not choose between their addresses: the verifier forbids computed ones. */
    u64 first = ctx->first;
    asm volatile("" : "+r"(first));
    u64 second = ctx->second;
    asm volatile("" : "+r"(second));
    keep_call_path(ctx->number == NR_execve ? first : second);
    return 0;
}

/*
 * Raw tracepoint sys_exit: the end of every system call of every task, including 32-bit calls and those that
 * seccomp refused. On failure the registers still hold the arguments. The kernel has read the path by now,
 * and argv and envp as far as it needed them, so their pages are present.
 */
int on_sys_exit(struct exit_context *ctx)
{
    if (!has_failed(ctx->return_value)) {
        forget_unfailed(ctx->return_value);
        return 0;
    }
    u64 task = bpf_get_current_task();
    s32 bits = exec_call(ctx->registers, task);
    if (bits < 0)
        return 0;
    struct scratch *s = claim();
    if (!s) {
        count_crowded();
        return 0;
    }
    fill_call(s, ctx->registers, bits);
    record_failure(ctx, s, ctx->return_value, task);
    return 0;
}

#else /* JOINED */

/* The plan decides which of the hooks sees the failure; all of them continue in `on_failure`. */
BPF_PROG_ARRAY(recorders, 1);

/* An exec that the kernel starts itself: a usermode helper, such as modprobe or a core dump's. */
struct kernel_call {
    u64 filename;
    u64 argv;
    u64 envp;
    s64 return_value;
};

BPF_HASH(kernel_calls, u64, struct kernel_call, MAX_COPIES);

#if ALL_FAILURES
/*
 * Tasks whose failure was recorded when the exec function returned, and which have not reached sys_exit yet.
 */
BPF_HASH(recorded_early, u64, u8, MAX_EXECS);
#endif

static __always_inline void fill_kernel_call(struct scratch *s, struct kernel_call *call)
{
    s->call.path = call->filename;
    s->call.arrays[ARGV] = call->argv;
    s->call.arrays[ENVP] = call->envp;
    s->call.pointer_size = 8;
    s->call.by_kernel = ~0ULL;
    s->record.dirfd = s->record.flags = 0;
    s->record.bits = KERNEL_INVOKED;
}

/*
 * Not attached itself: a hook continues here by a tail call, with its own context. That is a `struct
 * exit_context`, unless the task is in `kernel_calls`. It is read by address: if the verifier does not know
 * the context's type, it refuses access to its members.
 */
int on_failure(void *ctx)
{
    u64 task = bpf_get_current_task();
    struct scratch *s = claim();
    if (!s) {
        count_crowded();
        forget(task);
        return 0;
    }
    struct exit_context returned = {};
    struct kernel_call *kernel_call = kernel_calls.lookup(&task);
    if (kernel_call) {
        fill_kernel_call(s, kernel_call);
        returned.return_value = kernel_call->return_value;
        kernel_calls.delete(&task);
    } else {
        read_kernel(&returned, sizeof(returned), ctx);
        fill_call(s, returned.registers, exec_call(returned.registers, task));
        s->call.by_kernel = 0;
    }
    record_failure(ctx, s, returned.return_value, task);
    return 0;
}

/*
 * A tail call returns only if the kernel has refused it: when the map entry is empty, or too many calls are
 * nested.
 */
static __always_inline int tail_call_failed(void)
{
    u64 task = bpf_get_current_task();
    kernel_calls.delete(&task);
    forget(task);
    count_crowded();
    return 0;
}

/*
 * Raw tracepoint sys_exit: the end of every system call of every task, including those that seccomp refused.
 */
int on_sys_exit(struct exit_context *ctx)
{
    if (!has_failed(ctx->return_value)) {
        forget_unfailed(ctx->return_value);
        return 0;
    }
    u64 task = bpf_get_current_task();
    if (exec_call(ctx->registers, task) < 0)
        return 0;
#if ALL_FAILURES
    if (recorded_early.lookup(&task)) { /* by `on_exec_return` */
        recorded_early.delete(&task);
        return 0;
    }
#endif
    recorders.call(ctx, 0);
    return tail_call_failed();
}

/*
 * The system call begins: anything kept for an earlier one, whose end was not seen, does not belong to this
 * one.
 */
int on_call(void *ctx)
{
    u64 task = bpf_get_current_task();
    forget(task);
    keep_beginning(task);
    return 0;
}

#endif /* JOINED */
