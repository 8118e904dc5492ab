// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Hooks on kprobes. Their context is the registers. */

#if JOINED && !FEXIT

static __always_inline u64 first_argument(void *ctx)
{
    return function_argument_1(ctx);
}

static __always_inline u64 second_argument(void *ctx)
{
    return function_argument_2(ctx);
}

/* kprobe of kernel_execve: when it returns, the registers no longer hold the arguments. */
int on_kernel_execve(void *ctx)
{
    u64 task = bpf_get_current_task();
    struct kernel_call call = {
        .filename = first_argument(ctx),
        .argv = second_argument(ctx),
        .envp = function_argument_3(ctx),
    };
    kernel_calls.update(&task,
                        &call); /* if there is no room, its return is counted as one without a beginning */
    return 0;
}

#if PERF_BUFFER
/*
 * kprobe of do_execve, which stands for kernel_execve before 5.9: filename is a struct filename, whose first
 * member is name.
 */
int on_do_execve(void *ctx)
{
    u64 task = bpf_get_current_task();
    if (kernel_u64(task + AT_task_struct_mm)) /* called by a system call */
        return 0;
    struct kernel_call call = {
        .filename = kernel_u64(first_argument(ctx)),
        .argv = second_argument(ctx),
        .envp = function_argument_3(ctx),
    };
    kernel_calls.update(&task, &call);
    return 0;
}
#endif /* PERF_BUFFER */

/* Count an exec of the kernel's own whose beginning or end no probe has seen. */
static __always_inline void count_unprobed(void)
{
    count(COUNTER(unprobed), true);
}

/* kretprobe of kernel_execve or do_execve. */
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
    return tail_call_failed();
}

/* A task that ends with an entry in `kernel_calls` has failed to exec, and its kretprobe was missed. */
static __always_inline void miss_kernel_call(u64 task)
{
    if (!kernel_calls.lookup(&task))
        return;
    kernel_calls.delete(&task);
    count_unprobed();
}

#if PERF_BUFFER
/* kretprobe of exec_binprm, where the compiler has not inlined it: it follows #! lines, and has failed. */
int on_exec_binprm_return(void *ctx)
{
    struct exec *exec = exec_of(bpf_get_current_task());
    if (exec && has_failed((s32)function_result(ctx)))
        bprm_released(exec->bprm, true);
    return 0;
}
#endif /* PERF_BUFFER */

#endif /* JOINED && !FEXIT */
