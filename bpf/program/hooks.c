// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* What the kernel calls: one function for each kind of hook. bpf/program/plans.py says where they are attached. */

static __always_inline bool has_failed(s64 return_value)
{
    s64 error = -return_value;
    /* Else the call begins anew, or becomes EINTR: that is decided on the way to a signal's handler, later. */
    return error > 0 && error <= 4095 && (error < 512 || error > 516);
}

/*
 * The call has not failed, so no later one may find what was kept of it: it begins anew or becomes EINTR, or it
 * was a check (AT_EXECVE_CHECK, since 6.14) that has passed, which returns 0 without a new program. Any system call
 * comes here; nearly always nothing is kept, and one look says so.
 */
static __always_inline void forget_unfailed(s64 return_value)
{
    bool is_interrupted = return_value <= -512 && return_value >= -516;
    if (return_value && !is_interrupted)
        return;
    u64 task = bpf_get_current_task();
    if (is_interrupted || kept_of(task))
        forget(task);
}

struct returned {
    u64 registers; /* struct pt_regs * */
    s64 return_value;
};

/* Before: `s->call`, and dirfd, flags and bits of `s->record`. */
static __always_inline void record_failure(void *ctx, struct scratch *s, s64 return_value, u64 task)
{
    s->record.return_value = return_value;
    write_record(ctx, s, task);
    release(s);
    forget(task);
}

#if !JOINED
struct begun {
    u64 common;
    u32 number;
    u32 padding;
    u64 first;
    u64 second;
};

/*
 * Tracepoints sys_enter_execve and sys_enter_execveat: a 64-bit call begins, and seccomp has let it pass. Next the
 * kernel copies the path. Where that is on a page that was not touched yet, it cannot be read here.
 */
int on_call(struct begun *ctx)
{
    u64 first = ctx->first;
    asm volatile("" : "+r"(first)); /* else the compiler chooses between their addresses, which may not be computed */
    u64 second = ctx->second;
    asm volatile("" : "+r"(second));
    keep_call_path(ctx->number == NR_execve ? first : second);
    return 0;
}

/*
 * Raw tracepoint sys_exit: at the end of every system call of every task, 32-bit ones too, also of
 * those that seccomp refused. On failure the registers still hold the arguments. The kernel has
 * read the path by now, and argv and envp as far as it needed them, so their pages are present.
 */
int on_sys_exit(struct returned *ctx)
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
#else
/* ---- the event ---- */

/* Which of the hooks below sees the failure depends on the plan; all of them go on in `on_failure`. */
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
/* Tasks whose failure is recorded where the function is left, and which have not yet come to sys_exit. */
BPF_HASH(told, u64, u8, MAX_EXECS);
#endif

static __always_inline void fill_kernel_call(struct scratch *s, struct kernel_call *call)
{
    s->call.path = call->filename;
    s->call.arrays[0] = call->argv;
    s->call.arrays[1] = call->envp;
    s->call.pointer_size = 8;
    s->call.by_kernel = ~0ULL;
    s->record.dirfd = s->record.flags = 0;
    s->record.bits = KERNEL_INVOKED;
}

/*
 * Not attached itself. Its context is that of the hook that it goes on from: the two words of `returned`,
 * unless the task is in `kernel_calls`. They are read by address: by name the verifier refuses them where
 * it does not know their type.
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
    struct returned returned = {};
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

/* The kernel refuses to go on in another program: it never does but where it must not. */
static __always_inline int cannot_go_on(void)
{
    u64 task = bpf_get_current_task();
    kernel_calls.delete(&task);
    forget(task);
    count_crowded();
    return 0;
}

/* Raw tracepoint sys_exit: at the end of every system call of every task, also of those that seccomp refused. */
int on_sys_exit(struct returned *ctx)
{
    if (!has_failed(ctx->return_value)) {
        forget_unfailed(ctx->return_value);
        return 0;
    }
    u64 task = bpf_get_current_task();
    if (exec_call(ctx->registers, task) < 0)
        return 0;
#if ALL_FAILURES
    if (told.lookup(&task)) { /* its function has been left through `on_exec_return` */
        told.delete(&task);
        return 0;
    }
#endif
    recorders.call(ctx, 0);
    return cannot_go_on();
}

/* The system call begins: what an earlier one has left, if its end was not seen, is not of this one. */
int on_call(void *ctx)
{
    u64 task = bpf_get_current_task();
    forget(task);
    keep_beginning(task);
    return 0;
}

#if FEXIT
static __always_inline u64 first_argument(void *ctx)
{
    return kernel_u64((u64)ctx);
}

static __always_inline u64 second_argument(void *ctx)
{
    return kernel_u64((u64)ctx + 8);
}

/*
 * fexit of the functions behind execve and execveat. A check that passes leaves nothing, as in `forget_unfailed`.
 * Where there is no room to tell sys_exit that it was recorded here, it is left to sys_exit to record it.
 */
int on_exec_return(struct returned *ctx)
{
    if (!has_failed(ctx->return_value)) {
        forget(bpf_get_current_task());
        return 0;
    }
#if ALL_FAILURES
    u64 task = bpf_get_current_task();
    u8 yes = 1;
    if (told.update(&task, &yes))
        return 0;
#endif
    recorders.call(ctx, 0);
    return cannot_go_on();
}

/* fexit of kernel_execve, with its arguments and its result. */
int on_kernel_execve_return(void *ctx)
{
    u64 task = bpf_get_current_task();
    struct kernel_call call;
    if (read_kernel(&call, sizeof(call), ctx) || !has_failed((s32)call.return_value))
        return 0;
    call.return_value = (s32)call.return_value;
    if (kernel_calls.update(&task, &call))
        return cannot_go_on();
    recorders.call(ctx, 0);
    return cannot_go_on();
}

#if BPRM_EXECVE
/* fexit of bprm_execve, where free_bprm cannot be had: it has failed, and the bprm is still whole. */
int on_bprm_execve(void *ctx)
{
    s32 result = kernel_u64((u64)ctx + BPRM_EXECVE_ARGUMENTS * 8);
    if (has_failed(result))
        bprm_given_up(first_argument(ctx), true);
    return 0;
}
#endif
#else
static __always_inline u64 first_argument(void *ctx)
{
    return function_argument_1(ctx);
}

static __always_inline u64 second_argument(void *ctx)
{
    return function_argument_2(ctx);
}

/* kprobe at the beginning of kernel_execve: the registers at its end no longer have the arguments. */
int on_kernel_execve(void *ctx)
{
    u64 task = bpf_get_current_task();
    struct kernel_call call = {
        .filename = first_argument(ctx),
        .argv = second_argument(ctx),
        .envp = function_argument_3(ctx),
    };
    kernel_calls.update(&task, &call); /* without room the end of it is like one whose beginning was missed */
    return 0;
}

static __always_inline void count_unprobed(void)
{
    struct counters *count = counters_here();
    if (!count)
        return;
    lock_xadd(&count->unprobed, 1);
    lock_xadd(&count->lost, 1);
    lock_xadd(&count->seen, 1);
}

/* kretprobe of it. */
int on_kernel_execve_return(void *ctx)
{
    u64 task = bpf_get_current_task();
    s64 return_value = (s32)function_result(ctx);
    struct kernel_call *call = kernel_calls.lookup(&task);
    if (!call) { /* do_execve's other callers have memory of their own */
        if (has_failed(return_value) && !kernel_u64(task + AT_task_struct_mm))
            count_unprobed();
        return 0;
    }
    call->return_value = return_value;
    if (!has_failed(call->return_value)) {
        kernel_calls.delete(&task);
        return 0;
    }
    recorders.call(ctx, 0);
    return cannot_go_on();
}

/* A task that failed to start what the kernel wanted ends at once: its kretprobe was missed. */
static __always_inline void miss_kernel_call(u64 task)
{
    if (!kernel_calls.lookup(&task))
        return;
    kernel_calls.delete(&task);
    count_unprobed();
}
#endif

/*
 * alloc_bprm, since 5.9, and do_open_execat: their second argument is the struct filename that the kernel has
 * copied the path to, as it was given.
 */
int on_copied_path(void *ctx)
{
    keep_copied_path(kernel_u64(second_argument(ctx) + AT_filename_name), 0, true);
    return 0;
}

/*
 * security_bprm_creds_for_exec, since 5.8: once for each exec, with the file open and argv and envp
 * complete, before any #! line has been followed.
 */
int on_creds(void *ctx)
{
    bprm_checked(first_argument(ctx));
    return 0;
}

/* security_bprm_check: as that, but again for each interpreter of a #! line, also if there was no room before. */
int on_check(void *ctx)
{
    u64 bprm = first_argument(ctx);
    struct opened *opened = opened_by(bpf_get_current_task());
    if ((!opened || opened->bprm != bprm) && !is_of_interpreter(bprm))
        bprm_checked(bprm);
    return 0;
}

/* free_bprm: at the end of every exec that has had a bprm; before 5.9 its memory has been given up already. */
int on_free_bprm(void *ctx)
{
    bprm_given_up(first_argument(ctx), MEMORY_UNTIL_FREED);
    return 0;
}

#if PERF_BUFFER
/* kretprobe of exec_binprm, where it is no part of its caller: it follows #! lines, and has failed. */
int on_exec_binprm_return(void *ctx)
{
    struct opened *opened = opened_by(bpf_get_current_task());
    if (opened && has_failed((s32)function_result(ctx)))
        bprm_given_up(opened->bprm, true);
    return 0;
}

/* kprobe of do_execve, kernel_execve's like before 5.9: filename is a struct filename, of which name comes first. */
int on_do_execve(void *ctx)
{
    u64 task = bpf_get_current_task();
    if (kernel_u64(task + AT_task_struct_mm)) /* a system call's */
        return 0;
    struct kernel_call call = {
        .filename = kernel_u64(first_argument(ctx)),
        .argv = second_argument(ctx),
        .envp = function_argument_3(ctx),
    };
    kernel_calls.update(&task, &call);
    return 0;
}
#endif
#endif

/* ---- how a PATH search ends ---- */

/* Tells of a task that had failed to exec what became of it; of others, nothing. */
static __always_inline void end_search(void *ctx, u64 task, u64 filename, u32 bits)
{
    if (!is_searching(task))
        return;
    leave_search(task);
    struct counters *count = counters_here();
    if (!count)
        return;
    u32 uid = bpf_get_current_uid_gid();
    struct scratch *s = exceeds_share(uid) ? NULL : claim();
    if (!s) {
        lock_xadd(&count->untold, 1);
        return;
    }
    struct record *r = &s->record;
    forget_caller(s);
    __builtin_memset(r, 0, sizeof(*r));
    r->timestamp = record_clock();
    r->task = task;
    r->tid = bpf_get_current_pid_tgid();
    r->uid = uid; /* by which user space keeps it in order with the tries */
    r->bits = bits;
    if (filename) {
        int n = read_kernel_string(s->data, CHUNK, (void *)filename);
        r->used = r->lengths[SECTION_PATH] = n > 0 ? n : 0;
    }
    if (emit(ctx, s, uid))
        lock_xadd(&count->untold, 1);
    release(s);
}

struct exec_context {
    u64 task;
    u64 old_pid;
    u64 bprm;
};

/* Raw tracepoint sched_process_exec: an exec has succeeded; the program's path is still at hand. */
int on_exec(struct exec_context *ctx)
{
    u64 task = ctx->task;
    if (is_searching(task))
        end_search(ctx, task, kernel_u64(ctx->bprm + AT_linux_binprm_filename), FOUND);
    forget(task);
#if JOINED && !FEXIT
    kernel_calls.delete(&task);
#endif
    return 0;
}

struct exit_context {
    u64 task;
};

/* Raw tracepoint sched_process_exit: a task ends. Its address will be another's. */
int on_task_exit(struct exit_context *ctx)
{
    u64 task = ctx->task;
    end_search(ctx, task, 0, TASK_ENDED);
    forget(task);
#if ALL_FAILURES
    told.delete(&task);
#endif
#if JOINED && !FEXIT
    miss_kernel_call(task);
#endif
    return 0;
}
