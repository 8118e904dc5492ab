// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Hooks within an exec, on trampolines or kprobes: they see its struct filename and struct linux_binprm. */

#if JOINED

/*
 * alloc_bprm, since 5.9, and do_open_execat: the second argument is the struct filename with the kernel's
 * copy of the path, as it was given.
 */
int on_copied_path(void *ctx)
{
    keep_copied_path(kernel_u64(second_argument(ctx) + AT_filename_name), 0, true);
    return 0;
}

/*
 * security_bprm_creds_for_exec, since 5.8: once for each exec, with the file open and argv and envp complete,
 * before any #! line has been followed.
 */
int on_creds(void *ctx)
{
    bprm_checked(first_argument(ctx));
    return 0;
}

/*
 * security_bprm_check: the same, but called again for each interpreter, even if the first call found no room.
 */
int on_check(void *ctx)
{
    u64 bprm = first_argument(ctx);
    struct exec *exec = exec_of(bpf_get_current_task());
    if ((!exec || exec->bprm != bprm) && !is_of_interpreter(bprm))
        bprm_checked(bprm);
    return 0;
}

/* free_bprm: at the end of every exec that got a bprm; before 5.9 the new memory has been freed by then. */
int on_free_bprm(void *ctx)
{
    bprm_released(first_argument(ctx), MEMORY_UNTIL_FREED);
    return 0;
}

#endif /* JOINED */
