// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The path of an exec, kept while the call is under way. Once the call has returned, the caller's memory may
 * no longer hold what the kernel copied: whoever can hold up an exec, for instance with a lease on a file,
 * has time to write there. So the path is kept earlier, under the task's address: where a hook sees it
 * (JOINED), the kernel's own copy; elsewhere the contents of the memory when the call begins, just before the
 * kernel copies it.
 *
 * The time at which the call begins is kept, too: until the kernel has looked up the file, the caller can
 * have the directories on the way changed.
 *
 * The table is an array, indexed by a hash of the task's address. If two tasks collide, the later one takes
 * the slot, and the path of the other one counts as not kept. So nobody can take up others' room by holding
 * up many execs. No entry outlives its call: a path is dropped when the call returns, when an exec succeeds,
 * when the task ends and, where there is a hook for it, when the next call begins.
 */

struct kept_path {
    u64 task; /* the owner; 0: none */
    u64 pointer; /* where the caller has the path */
    u32 claims;
    u32 searchers; /* how many of the tasks with this slot are in `searchers` */
    u32 began; /* when the call began, in ticks */
    s16 length; /* with its NUL; negative if it could not be read, or NOT_KEPT */
    u16 facts;
    u8 bytes[KEPT_SIZE];
};

/* A length: the call has begun, and its path has not been kept yet. */
#define NOT_KEPT (-32768)

/* Facts about a kept path. */
#define IS_LONG 1 /* `long_paths` has all of it */
#define BY_DIRECTORY 2 /* it begins with execveat's directory: "/dev/fd/3/program" */
#define OF_ONE_TASK 4 /* no other task could run in the memory that holds it */
#define BEGAN_BEFORE 8 /* the call began before the first hook saw it */
#define IN_OWN_DIRECTORIES 16 /* see has_own_directories() */

BPF_ARRAY(kept_paths, struct kept_path, 1 << KEPT_BITS);

static u64 (*jiffies)(void) = (void *)BPF_FUNC_jiffies64;

/*
 * Return the time in units of TICK_NS, from a clock that costs nothing to read. Like a file's ctime it lags
 * by up to a tick.
 */
static __always_inline u32 ticks_now(void)
{
#if HAS_JIFFIES
    return jiffies();
#else
    return record_clock() / TICK_NS;
#endif
}

static __always_inline bool is_only_claim(u32 *claims)
{
    lock_xadd(claims, 1);
    if (*(volatile u32 *)claims == 1)
        return true;
    lock_xadd(claims, -1);
    return false;
}

/*
 * Return a task's slot, which nobody else reads or writes until `leave_path`; NULL if somebody is doing so
 * now.
 */
static __always_inline struct kept_path *enter_path(u64 task)
{
    u32 slot = hash_of(task, KEPT_BITS);
    struct kept_path *kept = kept_paths.lookup(&slot);
    return kept && is_only_claim(&kept->claims) ? kept : NULL;
}

static __always_inline void leave_path(struct kept_path *kept)
{
    lock_xadd(&kept->claims, -1);
}

/* Return what is kept for a task, without claiming it; NULL for nothing. */
static __always_inline struct kept_path *kept_of(u64 task)
{
    u32 slot = hash_of(task, KEPT_BITS);
    struct kept_path *kept = kept_paths.lookup(&slot);
    return kept && *(volatile u64 *)&kept->task == task ? kept : NULL;
}

/* If another task takes the slot at the same moment, it may lose its path, and nothing else. */
static __always_inline void drop_path(u64 task)
{
    struct kept_path *kept = kept_of(task);
    if (kept)
        *(volatile u64 *)&kept->task = 0;
}

/* Convert the result of a string read: 1 for an empty string, as helpers return since 6.14. */
static __always_inline s64 with_its_nul(s64 n)
{
    return n + bit_if_zero(n);
}

/* ---- paths that do not fit a slot ---- */

struct long_path {
    u64 task;
    u32 claims;
    u32 padding;
    u8 bytes[CHUNK];
};

BPF_ARRAY(long_paths, struct long_path, 1 << LONG_BITS);

static __always_inline struct long_path *enter_long_path(u64 task)
{
    u32 slot = hash_of(task, LONG_BITS);
    struct long_path *path = long_paths.lookup(&slot);
    return path && is_only_claim(&path->claims) ? path : NULL;
}

/* Read a path from where the plan's hooks have it: from the kernel's memory or from the caller's. */
static __always_inline s64 read_path_at(void *to, u32 size, u64 from)
{
#if JOINED
    return with_its_nul(read_kernel_string(to, size, (void *)from));
#else
    return with_its_nul(read_user_string(to, size, (void *)from));
#endif
}

static __always_inline u32 keep_long_path(u64 task, u64 from)
{
    struct long_path *path = enter_long_path(task);
    if (!path)
        return 0;
    bool is_read = read_path_at(path->bytes, CHUNK, from) > 0;
    path->task = is_read ? task : 0;
    lock_xadd(&path->claims, -1);
    return is_read ? IS_LONG : 0;
}

static __always_inline s64 read_long_path(void *to, u64 task)
{
    s64 n = -1;
    struct long_path *path = enter_long_path(task);
    if (!path)
        return n;
    if (path->task == task)
        n = read_kernel_string(to, CHUNK, path->bytes);
    lock_xadd(&path->claims, -1);
    return n;
}

/* ---- keeping and reading, with a claim on the slot ---- */

/*
 * Whether no other task has the caller's working and root directory as its own (CLONE_FS), and could change
 * them. Ask this when the call begins: until it returns, the caller cannot share them with anybody.
 */
static __always_inline bool has_own_directories(u64 task)
{
#if TYPED
    u64 me = bpf_get_current_task_typed();
#else
    u64 me = task;
#endif
    return member_u32(member(me, AT_task_struct_fs), AT_fs_struct_users) == 1;
}

static __always_inline void begin_call(struct kept_path *kept, u64 task)
{
    kept->task = task;
    kept->began = ticks_now();
    kept->length = NOT_KEPT;
    kept->facts = has_own_directories(task) ? IN_OWN_DIRECTORIES : 0;
}

static __always_inline void keep_path(struct kept_path *kept, u64 task, u64 from, u32 facts)
{
    kept->pointer = from;
    kept->length = read_path_at(kept->bytes, KEPT_SIZE, from);
    kept->facts = (kept->facts & IN_OWN_DIRECTORIES) | facts |
                  (kept->length == KEPT_SIZE ? keep_long_path(task, from) : 0);
}

/* Return the number of ticks since the call began, including the one in which it did. */
static __always_inline u32 ticks_of(struct kept_path *kept)
{
    return ticks_now() - kept->began + 1;
}

/*
 * Copy a kept path. Return its length, or a negative number if it could not be read; `is_cut`: only a part
 * was kept.
 */
static __always_inline s64 read_kept_path(void *to, struct kept_path *kept, u64 task, bool *is_cut)
{
    *is_cut = false;
    if (kept->length < 0)
        return -1;
    s64 n = kept->facts & IS_LONG ? read_long_path(to, task) : -1;
    if (n >= 0)
        return n;
    n = with_its_nul(read_kernel_string(to, KEPT_SIZE, kept->bytes));
    *is_cut = n == KEPT_SIZE;
    return n;
}

#if JOINED

/*
 * Keep the kernel's copy of a path, if it is the first of a call: those of its interpreters come later.
 *
 * `is_first`: the kernel has not looked for any file yet, so the call began in this tick.
 */
static __always_inline void keep_copied_path(u64 from, u32 facts, bool is_first)
{
    u64 task = bpf_get_current_task();
    struct kept_path *kept = enter_path(task);
    if (!kept)
        return;
    if (kept->task != task) {
        begin_call(kept, task);
        facts |= is_first ? 0 : BEGAN_BEFORE;
    }
    if (kept->length == NOT_KEPT)
        keep_path(kept, task, from, facts);
    leave_path(kept);
}

static __always_inline void keep_beginning(u64 task)
{
    struct kept_path *kept = enter_path(task);
    if (!kept)
        return;
    begin_call(kept, task);
    leave_path(kept);
}

/* Read the kernel's copy into `s->path`. Return its length, or a negative number if there is none. */
static __always_inline s64 read_copied_path(struct scratch *s, u64 task)
{
    s64 n = -1;
    bool is_cut = false;
    struct kept_path *kept = enter_path(task);
    if (!kept)
        return n;
    if (kept->task == task) {
        n = read_kept_path(s->path.bytes, kept, task, &is_cut);
        bool began_before = kept->length != NOT_KEPT && kept->facts & BEGAN_BEFORE;
        s->ticks = began_before ? 0 : ticks_of(kept);
        if (!began_before && kept->facts & IN_OWN_DIRECTORIES)
            s->record.bits |= OWN_DIRECTORIES;
    }
    if (n >= 0)
        s->record.bits |=
            PATH_OF_KERNEL | (is_cut ? PATH_CUT : 0) | (kept->facts & BY_DIRECTORY ? PATH_BY_DIRECTORY : 0);
    leave_path(kept);
    return n;
}

#endif /* JOINED */
