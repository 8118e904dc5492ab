// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * What the kernel's struct linux_binprm held: the file that the kernel had open, the interpreter, the
 * strings. Hooks within the exec keep it under the task's address, which stays the same when a thread
 * other than the first one execs; the hook at the end of the call takes it. Nothing of it outlives the
 * call: it is dropped when the call begins, when it ends, and when the task does.
 *
 * An exec can be held up for as long as its user likes: a #! line may name a file of a FUSE server that does not
 * answer. And whoever has many processes fail at once has many of them in the way from the failure to its end.
 * So of each table a user may have a part only.
 */

#if JOINED

struct opened {
    u64 bprm;
    u64 file;
    u64 inode; /* 0: not known, as the next ones */
    struct place place;
    u64 number;
    u64 ctime;
    u64 size;
    u32 device;
    u32 mode;
    u32 owner;
    u32 group;
    u32 counts[3]; /* argc and envc as passed, and argc after #! lines */
    u16 bits; /* CHECKED_ALREADY and so on */
    u16 holder; /* whose holding it is of */
};

#define CHECKED_ALREADY 1 /* argv and envp were complete: security modules have been asked */
#define FREED 2 /* the exec has failed: the kernel has given up its bprm */
#define HAS_INTERPRETER 4
#define HAS_COPY 8
#define KILLED 16 /* it was past the point of no return */
#define COUNTED 32 /* among its user's copies */

BPF_HASH(execs, u64, struct opened, MAX_EXECS);

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
#endif

static __always_inline struct opened *opened_by(u64 task)
{
    return execs.lookup(&task);
}

static __always_inline bool was_late(struct opened *opened)
{
    return opened && opened->bits & KILLED;
}

static __always_inline void count_unjoined(void)
{
    struct counters *count = counters_here();
    if (count)
        lock_xadd(&count->unjoined, 1);
}

static __always_inline void forget_opened(u64 task)
{
    struct opened *opened = opened_by(task);
    if (!opened)
        return;
    if (opened->bits & HAS_INTERPRETER)
        interpreters.delete(&task);
#if COPIES
    if (opened->bits & HAS_COPY)
        copies.delete(&task);
#endif
    struct holding *holding = holding_of(opened->holder);
    u32 counted = opened->bits & COUNTED ? 1 : 0;
    if (execs.delete(&task) || !holding)
        return;
    lock_xadd(&holding->execs, -1);
    if (counted)
        lock_xadd(&holding->copies, -1);
}

/* In place of what an earlier exec of the task has left, if the end of that was not seen. */
static __always_inline void replace_opened(u64 task, struct opened *opened)
{
    forget_opened(task);
    u32 holder = holder_here();
    struct holding *holding = holding_of(holder);
    opened->holder = holder;
    if (holding && *(volatile u32 *)&holding->execs < MAX_EXECS / SHARE_OF_TABLE && !execs.update(&task, opened))
        lock_xadd(&holding->execs, 1);
    else
        count_unjoined();
}

/* Whether a user may have one more interpreter and copy; counts it as theirs until the exec is forgotten. */
static __always_inline bool may_copy(struct opened *opened)
{
    if (opened->bits & COUNTED)
        return true;
    struct holding *holding = holding_of(opened->holder);
    if (!holding || *(volatile u32 *)&holding->copies >= MAX_COPIES / SHARE_OF_TABLE)
        return false;
    lock_xadd(&holding->copies, 1);
    opened->bits |= COUNTED;
    return true;
}

static __always_inline void forget(u64 task)
{
    drop_path(task);
    forget_opened(task);
}

/* ---- within the exec ---- */

struct file_part {
    u8 bytes[SPAN_file];
};

struct inode_part {
    u8 bytes[SPAN_opened];
};

static __always_inline void keep_file(struct opened *opened, u64 file)
{
    struct file_part file_part;
    struct inode_part part;
    if (!file || read_kernel(&file_part, sizeof(file_part), (void *)(file + START_file)))
        return;
    u64 inode = u64_in(file_part.bytes, AT_file_f_inode - START_file);
    if (read_kernel(&part, sizeof(part), (void *)(inode + START_opened)))
        return;
    opened->file = file;
    opened->inode = inode;
    opened->place = place_in(file_part.bytes, AT_file_f_path - START_file);
    opened->number = u64_in(part.bytes, AT_inode_i_ino - START_opened);
    opened->size = u64_in(part.bytes, AT_inode_i_size - START_opened);
    /* Since 6.13 the top bit tells that somebody has asked for it (I_CTIME_QUERIED). */
    u32 nanoseconds = u32_in(part.bytes, AT_inode_ctime_nsec - START_opened) & 0x7fffffff;
    opened->ctime = u64_in(part.bytes, AT_inode_ctime_sec - START_opened) * 1000000000ULL + nanoseconds;
    opened->device = kernel_u32(u64_in(part.bytes, AT_inode_i_sb - START_opened) + AT_super_block_s_dev);
    opened->mode = *(u16 *)&part.bytes[AT_inode_i_mode - START_opened];
    opened->owner = u32_in(part.bytes, AT_inode_i_uid - START_opened);
    opened->group = u32_in(part.bytes, AT_inode_i_gid - START_opened);
}

/* Before #! lines: argc and envc as passed. An errno where the kernel could not count. */
static __always_inline void keep_counts(struct opened *opened, u64 bprm)
{
    s32 argc = kernel_u32(bprm + AT_linux_binprm_argc);
    s32 envc = kernel_u32(bprm + AT_linux_binprm_envc);
    opened->counts[0] = argc < 0 ? UNKNOWN : argc;
    opened->counts[1] = argc < 0 || envc < 0 ? UNKNOWN : envc;
    opened->counts[2] = opened->counts[0];
}

/* Whether the file is an interpreter's by now, and argc counts what its #! line or binfmt_misc has put before. */
static __always_inline bool is_of_interpreter(u64 bprm)
{
    return kernel_u64(bprm + AT_linux_binprm_interp) != kernel_u64(bprm + AT_linux_binprm_filename);
}

/* A security module is about to be asked: the file is the one that was named, the strings are complete. */
static __always_inline void bprm_checked(u64 bprm)
{
    u64 task = bpf_get_current_task();
    struct opened opened = {};
    opened.bprm = bprm;
    keep_file(&opened, kernel_u64(bprm + AT_linux_binprm_file));
    keep_counts(&opened, bprm);
    opened.bits = CHECKED_ALREADY;
    replace_opened(task, &opened);
}

#if COPIES
static __always_inline void keep_copy(struct opened *opened, u64 bprm, u64 mm, u64 task)
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
        } else { /* past the point of no return: it is the caller's memory now, and nobody else's */
            missing = read_user(&copy->bytes[used], size, (void *)from);
        }
        if (missing) {
            copies.delete(&task);
            return;
        }
        copy->used = used + size;
        from += size;
    }
    opened->bits |= HAS_COPY;
}
#endif

/*
 * The kernel gives up a bprm, at the end of every exec, or has just failed with it: file, interp,
 * argc, envc and the strings are still as they were. Of an exec that has succeeded, mm is NULL and no
 * signal is on its way; of one that failed past the point of no return, a fatal one is.
 *
 * `has_memory`: mm still is what it points to.
 */
static __always_inline void bprm_given_up(u64 bprm, bool has_memory)
{
    u64 task = bpf_get_current_task();
    u64 mm = kernel_u64(bprm + AT_linux_binprm_mm);
    u64 fatal = (1ULL << (SIGSEGV - 1)) | (1ULL << (SIGKILL - 1));
    if (!mm && !(kernel_u64(task + AT_task_struct_pending_signal) & fatal))
        return;
    u64 interp = kernel_u64(bprm + AT_linux_binprm_interp);
    u64 filename = kernel_u64(bprm + AT_linux_binprm_filename);
    keep_copied_path(filename, BY_DIRECTORY, false); /* where no hook has seen it as it was given */
    struct opened *opened = opened_by(task);
    if (!opened || opened->bprm != bprm) {
        struct opened fresh = {};
        fresh.bprm = bprm;
        if (interp == filename) {
            keep_file(&fresh, kernel_u64(bprm + AT_linux_binprm_file));
            keep_counts(&fresh, bprm);
        } else { /* the file may be the interpreter's, and argc is not what was passed */
            fresh.counts[0] = fresh.counts[1] = UNKNOWN;
        }
        replace_opened(task, &fresh);
        opened = opened_by(task);
        if (!opened)
            return;
    }
    opened->counts[2] = kernel_u32(bprm + AT_linux_binprm_argc);
    opened->bits |= FREED | (mm ? 0 : KILLED);
    if (!may_copy(opened)) { /* of arguments a record says by itself where they are from */
        if (interp != filename)
            count_unjoined();
        return;
    }
    if (interp != filename) {
        struct interpreter name = {};
        int n = read_kernel_string(name.name, sizeof(name.name), (void *)interp);
        if (n > 1 && !interpreters.update(&task, &name))
            opened->bits |= HAS_INTERPRETER;
    }
#if COPIES
    if ((has_memory || !mm) && !(opened->bits & HAS_COPY) && opened->counts[0] != UNKNOWN &&
        opened->counts[1] != UNKNOWN)
        keep_copy(opened, bprm, mm, task);
#endif
}

/* ---- at the end of the call ---- */

/* An exec that failed while argv and envp were being counted and copied has left only some of them. */
static __always_inline bool copied_all(struct record *r, struct opened *opened)
{
    s64 error = -r->return_value;
    return opened->bits & CHECKED_ALREADY || (error != E2BIG && error != EFAULT && error != ENOMEM);
}

/* Returns where the file is, for its path to be walked. */
static __always_inline struct place tell_opened(struct record *r, struct opened *opened)
{
    struct place none = {};
    r->bprm_counts[0] = r->bprm_counts[1] = r->bprm_counts[2] = UNKNOWN;
    if (!opened)
        return none;
    __builtin_memcpy(r->bprm_counts, opened->counts, sizeof(r->bprm_counts));
    if (!copied_all(r, opened)) { /* they are 0 until the kernel has counted */
        for (u32 i = 0; i < 3; i++)
            r->bprm_counts[i] = r->bprm_counts[i] ? r->bprm_counts[i] : UNKNOWN;
    }
    r->bits |= (opened->bits & CHECKED_ALREADY ? CHECKED : 0) | (opened->bits & KILLED ? LATE : 0);
    if (!opened->inode)
        return none;
    r->bits |= BINARY_KNOWN;
    r->inode_number = opened->number;
    r->ctime = opened->ctime;
    r->size = opened->size;
    r->device = opened->device;
    r->mode = opened->mode;
    r->owner = opened->owner;
    r->group = opened->group;
    /* A task's own files are put away when it returns to user space; by then this one is still there. */
    if (kernel_u64(opened->file + AT_file_f_inode) != opened->inode)
        return none;
    return opened->place;
}

static __always_inline void tell_interpreter(struct scratch *s, u64 task, struct opened *opened)
{
    u32 start = s->record.used;
    if (opened && opened->bits & HAS_INTERPRETER) {
        struct interpreter *interpreter = interpreters.lookup(&task);
        if (interpreter)
            append_kernel_string(s, (u64)interpreter);
    }
    s->record.lengths[SECTION_INTERPRETER] = section_length(s, start);
}

/*
 * How much is to be read of the caller's own argv and envp: little where the kernel's copy is whole.
 * That copy has lost argv[0] where a #! line came before it, and it says nothing of an empty argv.
 */
static __always_inline void tell_copied(struct scratch *s, u64 task, struct opened *opened)
{
    s->record.copied_total = 0;
    s->call.limits[0] = MAX_ARGS_BYTES;
    s->call.limits[1] = MAX_ENV_BYTES;
#if COPIES
    if (!opened || !(opened->bits & HAS_COPY) || !copied_all(&s->record, opened))
        return;
    if (s->record.used > DATA_SIZE - sizeof(((struct copy *)0)->bytes) - 2 * CHUNK)
        return; /* it would not fit */
    struct copy *copy = copies.lookup(&task);
    if (!copy)
        return;
    s->record.copied_total = copy->total;
    if (copy->used >= copy->total) {
        s->call.limits[0] = 1;
        s->call.limits[1] = 0;
    }
#endif
}

static __always_inline void append_copied(struct scratch *s, u64 task)
{
    s->record.lengths[SECTION_COPIED] = 0;
#if COPIES
    if (!s->record.copied_total)
        return;
    struct copy *copy = copies.lookup(&task);
    u64 at = place_in_data(s);
    if (!copy || at > DATA_SIZE - sizeof(copy->bytes))
        return;
    u64 size = copy->used;
    asm volatile("" : "+r"(size));
    if (size > sizeof(copy->bytes))
        return;
    read_kernel(&s->data[at], size, copy->bytes);
    s->record.used = at + size;
    s->record.lengths[SECTION_COPIED] = size;
#endif
}

#else /* no hook tells of a bprm */

struct opened;

static __always_inline struct opened *opened_by(u64 task)
{
    return NULL;
}

static __always_inline bool was_late(struct opened *opened)
{
    return false;
}

static __always_inline void forget(u64 task)
{
    drop_path(task);
}

static __always_inline struct place tell_opened(struct record *r, struct opened *opened)
{
    struct place none = {};
    r->bprm_counts[0] = r->bprm_counts[1] = r->bprm_counts[2] = UNKNOWN;
    return none;
}

static __always_inline void tell_interpreter(struct scratch *s, u64 task, struct opened *opened)
{
    s->record.lengths[SECTION_INTERPRETER] = 0;
}

static __always_inline void tell_copied(struct scratch *s, u64 task, struct opened *opened)
{
    s->record.copied_total = 0;
    s->call.limits[0] = MAX_ARGS_BYTES;
    s->call.limits[1] = MAX_ENV_BYTES;
}

static __always_inline void append_copied(struct scratch *s, u64 task)
{
    s->record.lengths[SECTION_COPIED] = 0;
}

#endif
