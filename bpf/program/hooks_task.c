// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Hooks at which a task runs a new program, or ends: a PATH search ends there, and nothing kept may outlive
 * it.
 */

struct exec_context {
    u64 task;
    u64 old_pid;
    u64 bprm;
};

/* Raw tracepoint sched_process_exec: an exec has succeeded; the program's path can still be read. */
int on_exec(struct exec_context *ctx)
{
    u64 task = ctx->task;
    if (is_searching(task))
        end_search(ctx, task, kernel_u64(ctx->bprm + AT_linux_binprm_filename));
    forget(task);
#if JOINED && !FEXIT
    kernel_calls.delete(&task);
#endif
    return 0;
}

struct task_exit_context {
    u64 task;
};

/* Raw tracepoint sched_process_exit: a task ends. Another task will get its address. */
int on_task_exit(struct task_exit_context *ctx)
{
    u64 task = ctx->task;
    end_search(ctx, task, 0);
    forget(task);
#if ALL_FAILURES
    recorded_early.delete(&task);
#endif
#if JOINED && !FEXIT
    miss_kernel_call(task);
#endif
    return 0;
}
