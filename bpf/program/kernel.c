// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Reading the kernel's structures. */

static __always_inline u64 kernel_u64(u64 address)
{
    u64 value = 0;
    read_kernel(&value, sizeof(value), (void *)address);
    return value;
}

static __always_inline u32 kernel_u32(u64 address)
{
    u32 value = 0;
    read_kernel(&value, sizeof(value), (void *)address);
    return value;
}

/*
 * Where the verifier knows the types (TYPED), the members behind the current task's pointers are loaded as
 * the kernel itself would load them: in a nanosecond instead of 45. The verifier knows an address only as
 * long as it stays in a register, and requires a check for NULL. Otherwise task and cred are each read in one
 * piece.
 */
#if TYPED
static u64 (*bpf_get_current_task_typed)(void) = (void *)HELPER_get_current_task_btf;

static __always_inline u64 member(u64 address, u32 offset)
{
    return address ? *(volatile u64 *)(address + offset) : 0;
}

static __always_inline u32 member_u32(u64 address, u32 offset)
{
    return address ? *(volatile u32 *)(address + offset) : 0;
}

#define IN_TASK(name) AT_task_struct_##name
#define IN_CRED(name) AT_cred_##name
#else
static __always_inline u64 member(u64 address, u32 offset)
{
    return kernel_u64(address + offset);
}

static __always_inline u32 member_u32(u64 address, u32 offset)
{
    return kernel_u32(address + offset);
}

#define IN_TASK(name) (AT_task_struct_##name - START_task)
#define IN_CRED(name) (AT_cred_##name - START_cred)
#endif /* TYPED */

#define of_task(me, name) (*(volatile u64 *)((me) + IN_TASK(name)))

static __always_inline u64 u64_in(const u8 *part, u32 offset)
{
    return *(const u64 *)&part[offset];
}

static __always_inline u32 u32_in(const u8 *part, u32 offset)
{
    return *(const u32 *)&part[offset];
}

static __always_inline struct place place_in(const u8 *part, u32 offset)
{
    struct place place = {
        .dentry = u64_in(part, offset + AT_path_dentry),
        .mount = u64_in(part, offset + AT_path_mnt),
    };
    return place;
}

/* Return the current task for `of_task`; `task` is its address. */
static __always_inline u64 caller_of(struct scratch *s, u64 task)
{
#if TYPED
    return bpf_get_current_task_typed();
#else
    read_kernel(s->task, sizeof(s->task), (void *)(task + START_task));
    return (u64)s->task;
#endif
}

/* Return the current task's credentials for IN_CRED. */
static __always_inline u64 cred_of_caller(struct scratch *s, u64 task)
{
#if TYPED
    return of_task(bpf_get_current_task_typed(), cred);
#else
    u64 cred = kernel_u64(task + AT_task_struct_cred);
    read_kernel(s->cred, sizeof(s->cred), (void *)(cred + START_cred));
    return (u64)s->cred;
#endif
}

/* Whether the task has a signal pending that ends it: its exec has failed past the point of no return. */
static __always_inline bool is_being_killed(u64 task)
{
    u64 fatal = (1ULL << (SIGSEGV - 1)) | (1ULL << (SIGKILL - 1));
    return kernel_u64(task + AT_task_struct_pending_signal) & fatal;
}
