// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The contents of the kernel's struct linux_binprm: the file that the kernel opened, the interpreter, the
 * strings. Hooks within the exec keep them under the task's address, which stays the same when a thread other
 * than the first one execs; the hook at the end of the call takes them (binprm_record.c). No entry outlives
 * its call: it is dropped when the call begins, when it ends, and when the task ends.
 *
 * An exec can be held up for as long as its user likes: a #! line may name a file of a FUSE server that does
 * not answer. And a user who has many processes fail at once has many of them between the failure and the end
 * of the call. So a user may have only a share of each table.
 */

#if JOINED

/* An exec that is under way. */
struct exec {
    u64 bprm;
    u64 file;
    u64 inode; /* 0: not known, nor are the next members */
    struct place place;
    u64 number;
    u64 ctime;
    u64 size;
    u32 device;
    u32 mode;
    u32 owner;
    u32 group;
    u32 counts[3]; /* argc and envc as passed, and argc after #! lines: see the record's bprm_counts */
    u16 bits; /* CHECKED_ALREADY and so on */
    u16 holder; /* the user whose share has it */
};

#define CHECKED_ALREADY 1 /* argv and envp were complete: security modules have been asked */
#define FREED 2 /* the exec has failed: the kernel has released its bprm */
#define HAS_INTERPRETER 4
#define HAS_COPY 8
#define KILLED 16 /* it was past the point of no return */
#define COUNTED 32 /* it is counted among its user's copies */

BPF_HASH(execs, u64, struct exec, MAX_EXECS);

struct interpreter {
    u8 name[INTERPRETER_SIZE];
};

BPF_HASH(interpreters, u64, struct interpreter, MAX_COPIES);

#if COPIES
struct copy {
    u64 total;
    u64 used;
    u8 bytes[COPY_SIZE + PAGE_SIZE];
};

BPF_HASH(copies, u64, struct copy, MAX_COPIES);
BPF_ARRAY(blank_copy, struct copy, 1);
#endif /* COPIES */

static __always_inline struct exec *exec_of(u64 task)
{
    return execs.lookup(&task);
}

static __always_inline void forget_exec(u64 task)
{
    struct exec *exec = exec_of(task);
    if (!exec)
        return;
    if (exec->bits & HAS_INTERPRETER)
        interpreters.delete(&task);
#if COPIES
    if (exec->bits & HAS_COPY)
        copies.delete(&task);
#endif
    struct holding *holding = holding_of(exec->holder);
    u32 counted = exec->bits & COUNTED ? 1 : 0;
    if (execs.delete(&task) || !holding)
        return;
    lock_xadd(&holding->execs, -1);
    if (counted)
        lock_xadd(&holding->copies, -1);
}

static __always_inline void count_unjoined(void)
{
    count(COUNTER(unjoined), false);
}

/* Keep an exec, in place of an earlier one of the task whose end was not seen. */
static __always_inline void keep_exec(u64 task, struct exec *exec)
{
    forget_exec(task);
    u32 holder = holder_here();
    struct holding *holding = holding_of(holder);
    exec->holder = holder;
    if (holding && *(volatile u32 *)&holding->execs < MAX_EXECS / SHARE_OF_TABLE &&
        !execs.update(&task, exec))
        lock_xadd(&holding->execs, 1);
    else
        count_unjoined();
}

/*
 * Whether a user may have one more interpreter and copy. If so, it is counted as theirs until the exec is
 * forgotten.
 */
static __always_inline bool may_copy(struct exec *exec)
{
    if (exec->bits & COUNTED)
        return true;
    struct holding *holding = holding_of(exec->holder);
    if (!holding || *(volatile u32 *)&holding->copies >= MAX_COPIES / SHARE_OF_TABLE)
        return false;
    lock_xadd(&holding->copies, 1);
    exec->bits |= COUNTED;
    return true;
}

struct file_part {
    u8 bytes[SPAN_file];
};

struct inode_part {
    u8 bytes[SPAN_binary];
};

/* I_CTIME_QUERIED, since 6.13: somebody has asked for the ctime. */
#define CTIME_QUERIED 0x80000000

static __always_inline void keep_file(struct exec *exec, u64 file)
{
    struct file_part file_part;
    struct inode_part part;
    if (!file || read_kernel(&file_part, sizeof(file_part), (void *)(file + START_file)))
        return;
    u64 inode = u64_in(file_part.bytes, AT_file_f_inode - START_file);
    if (read_kernel(&part, sizeof(part), (void *)(inode + START_binary)))
        return;
    exec->file = file;
    exec->inode = inode;
    exec->place = place_in(file_part.bytes, AT_file_f_path - START_file);
    exec->number = u64_in(part.bytes, AT_inode_i_ino - START_binary);
    exec->size = u64_in(part.bytes, AT_inode_i_size - START_binary);
    u32 nanoseconds = u32_in(part.bytes, AT_inode_ctime_nsec - START_binary) & ~CTIME_QUERIED;
    exec->ctime = u64_in(part.bytes, AT_inode_ctime_sec - START_binary) * NS_PER_S + nanoseconds;
    exec->device = kernel_u32(u64_in(part.bytes, AT_inode_i_sb - START_binary) + AT_super_block_s_dev);
    exec->mode = *(u16 *)&part.bytes[AT_inode_i_mode - START_binary];
    exec->owner = u32_in(part.bytes, AT_inode_i_uid - START_binary);
    exec->group = u32_in(part.bytes, AT_inode_i_gid - START_binary);
}

/* Keep argc and envc as passed, before any #! line; they hold an errno if the kernel could not count. */
static __always_inline void keep_counts(struct exec *exec, u64 bprm)
{
    s32 argc = kernel_u32(bprm + AT_linux_binprm_argc);
    s32 envc = kernel_u32(bprm + AT_linux_binprm_envc);
    exec->counts[ARGC_OF_BPRM] = argc < 0 ? UNKNOWN : argc;
    exec->counts[ENVC_OF_BPRM] = argc < 0 || envc < 0 ? UNKNOWN : envc;
    exec->counts[ARGC_COPIED] = exec->counts[ARGC_OF_BPRM];
}

/*
 * Whether the file is an interpreter's by now, and argc includes what a #! line or binfmt_misc has put in
 * front.
 */
static __always_inline bool is_of_interpreter(u64 bprm)
{
    return kernel_u64(bprm + AT_linux_binprm_interp) != kernel_u64(bprm + AT_linux_binprm_filename);
}

/*
 * A security module is about to be asked: the file is the one that was named, and the strings are complete.
 */
static __always_inline void bprm_checked(u64 bprm)
{
    u64 task = bpf_get_current_task();
    struct exec exec = {};
    exec.bprm = bprm;
    keep_file(&exec, kernel_u64(bprm + AT_linux_binprm_file));
    keep_counts(&exec, bprm);
    exec.bits = CHECKED_ALREADY;
    keep_exec(task, &exec);
}

#if COPIES
static __always_inline void keep_copy(struct exec *exec, u64 bprm, u64 mm, u64 task)
{
    u32 zero = 0;
    u64 from = kernel_u64(bprm + AT_linux_binprm_p);
    u64 end = kernel_u64(bprm + AT_linux_binprm_exec);
    struct copy *blank = blank_copy.lookup(&zero);
    if (!blank || from >= end || end - from > MAX_STRINGS || copies.update(&task, blank))
        return;
    struct copy *copy = copies.lookup(&task);
    if (!copy)
        return;
    u64 pgd = mm ? kernel_u64(mm + AT_mm_struct_pgd) : 0;
    copy->total = end - from;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < COPY_SIZE / PAGE_SIZE + 2; i++) {
        u64 used = copy->used;
        asm volatile("" : "+r"(used));
        if (from >= end || used >= COPY_SIZE)
            break;
        u64 size = PAGE_SIZE - (from & (PAGE_SIZE - 1));
        if (size > end - from)
            size = end - from;
        asm volatile("" : "+r"(size));
        if (size > PAGE_SIZE)
            break;
        int missing;
        if (mm) {
            u64 at = kernel_address(pgd, from);
            missing = !at || read_kernel(&copy->bytes[used], size, (void *)at);
        } else { /* past the point of no return it is the caller's memory, and nobody else's */
            missing = read_user(&copy->bytes[used], size, (void *)from);
        }
        if (missing) {
            copies.delete(&task);
            return;
        }
        copy->used = used + size;
        from += size;
    }
    exec->bits |= HAS_COPY;
}
#endif /* COPIES */

/*
 * The kernel releases a bprm at the end of every exec, or has just failed with it: file, interp, argc, envc
 * and the strings are still as they were. If the exec has succeeded, mm is NULL and no fatal signal is
 * pending; if it has failed past the point of no return, mm is NULL and one is.
 *
 * `has_memory`: mm still points to the new program's memory.
 */
static __always_inline void bprm_released(u64 bprm, bool has_memory)
{
    u64 task = bpf_get_current_task();
    u64 mm = kernel_u64(bprm + AT_linux_binprm_mm);
    if (!mm && !is_being_killed(task))
        return;
    u64 interp = kernel_u64(bprm + AT_linux_binprm_interp);
    u64 filename = kernel_u64(bprm + AT_linux_binprm_filename);
    keep_copied_path(filename, BY_DIRECTORY, false); /* unless a hook has seen it as it was given */
    struct exec *exec = exec_of(task);
    if (!exec || exec->bprm != bprm) {
        struct exec fresh = {};
        fresh.bprm = bprm;
        if (interp == filename) {
            keep_file(&fresh, kernel_u64(bprm + AT_linux_binprm_file));
            keep_counts(&fresh, bprm);
        } else { /* the file may be the interpreter's, and argc is not as passed */
            fresh.counts[ARGC_OF_BPRM] = fresh.counts[ENVC_OF_BPRM] = UNKNOWN;
        }
        keep_exec(task, &fresh);
        exec = exec_of(task);
        if (!exec)
            return;
    }
    exec->counts[ARGC_COPIED] = kernel_u32(bprm + AT_linux_binprm_argc);
    exec->bits |= FREED | (mm ? 0 : KILLED);
    if (!may_copy(exec)) { /* without a copy the record itself says that its arguments are the caller's */
        if (interp != filename)
            count_unjoined();
        return;
    }
    if (interp != filename) {
        struct interpreter name = {};
        int n = read_kernel_string(name.name, sizeof(name.name), (void *)interp);
        if (n > 1 && !interpreters.update(&task, &name))
            exec->bits |= HAS_INTERPRETER;
    }
#if COPIES
    if ((has_memory || !mm) && !(exec->bits & HAS_COPY) && exec->counts[ARGC_OF_BPRM] != UNKNOWN &&
        exec->counts[ENVC_OF_BPRM] != UNKNOWN)
        keep_copy(exec, bprm, mm, task);
#endif
}

static __always_inline void forget(u64 task)
{
    drop_path(task);
    forget_exec(task);
}

#else /* no hook sees a bprm */

struct exec;

static __always_inline struct exec *exec_of(u64 task)
{
    return NULL;
}

static __always_inline void forget(u64 task)
{
    drop_path(task);
}

#endif /* JOINED */
