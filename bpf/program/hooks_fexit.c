// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Hooks on BPF trampolines: fentry and fexit. Their context is an array of the function's arguments and its
 * result.
 */

#if FEXIT

static __always_inline u64 first_argument(void *ctx)
{
    return kernel_u64((u64)ctx);
}

static __always_inline u64 second_argument(void *ctx)
{
    return kernel_u64((u64)ctx + sizeof(u64));
}

/*
 * fexit of the functions behind execve and execveat. A check that passes leaves nothing, as in
 * `forget_unfailed`. If there is no room to note for sys_exit that the failure was recorded here, sys_exit
 * records it.
 */
int on_exec_return(struct exit_context *ctx)
{
    if (!has_failed(ctx->return_value)) {
        forget(bpf_get_current_task());
        return 0;
    }
#if ALL_FAILURES
    u64 task = bpf_get_current_task();
    u8 yes = 1;
    if (recorded_early.update(&task, &yes))
        return 0;
#endif
    recorders.call(ctx, 0);
    return tail_call_failed();
}

/* fexit of kernel_execve: its three arguments and its result, as in `struct kernel_call`. */
int on_kernel_execve_return(void *ctx)
{
    u64 task = bpf_get_current_task();
    struct kernel_call call;
    if (read_kernel(&call, sizeof(call), ctx) || !has_failed((s32)call.return_value))
        return 0;
    call.return_value = (s32)call.return_value;
    if (kernel_calls.update(&task, &call))
        return tail_call_failed();
    recorders.call(ctx, 0);
    return tail_call_failed();
}

#if BPRM_EXECVE
/*
 * fexit of bprm_execve, on kernels without a usable free_bprm: the exec has failed, and its bprm is still
 * complete.
 */
int on_bprm_execve(void *ctx)
{
    s32 result = kernel_u64((u64)ctx + BPRM_EXECVE_ARGUMENTS * sizeof(u64));
    if (has_failed(result))
        bprm_released(first_argument(ctx), true);
    return 0;
}
#endif /* BPRM_EXECVE */

#endif /* FEXIT */
