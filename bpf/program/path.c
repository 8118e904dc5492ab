// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The path of an exec. When the call has returned, the caller's memory may say something else than what the
 * kernel copied: whoever can hold an exec up, with a lease on a file for instance, has time to write there.
 * So the path is kept before, under the task's address: where a hook sees it (JOINED), the kernel's own copy,
 * and elsewhere what the memory says when the call begins, just before the kernel copies it.
 *
 * So is the time at which the call begins: until the kernel has looked the file up, its caller may have the
 * way there changed.
 *
 * The table is an array, in which a task's place follows from its address. Of two tasks that meet in a place
 * the later one has it, and the other one's path is as if it had not been kept: so nobody can take others
 * their room by holding up many execs. Nothing outlives its call: a path is dropped when the call returns, when
 * an exec succeeds, when the task ends and, where there is a hook for it, when the next call begins.
 */

struct kept_path {
    u64 task; /* whose it is; 0: nobody's */
    u64 pointer; /* where the caller has it */
    u32 claims;
    u32 searchers; /* how many tasks of this place are in `searchers` */
    u32 began; /* the call, in ticks */
    s16 length; /* with its NUL; negative where it could not be read, or has not been */
    u16 facts;
    u8 bytes[KEPT_SIZE];
};

BPF_ARRAY(kept_paths, struct kept_path, 1 << KEPT_BITS);

static u64 (*jiffies)(void) = (void *)BPF_FUNC_jiffies64;

/* A clock that costs nothing to read: units of TICK_NS. It may be late by as much as a file's ctime is early. */
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

/* A task's place, which nobody else reads or writes until `leave_path`; NULL where somebody does just now. */
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

/* What is kept of a task, without a claim; NULL for nothing. */
static __always_inline struct kept_path *kept_of(u64 task)
{
    u32 slot = hash_of(task, KEPT_BITS);
    struct kept_path *kept = kept_paths.lookup(&slot);
    return kept && *(volatile u64 *)&kept->task == task ? kept : NULL;
}

/* Should another task take the place meanwhile, it may lose its path, and nothing else. */
static __always_inline void drop_path(u64 task)
{
    struct kept_path *kept = kept_of(task);
    if (kept)
        *(volatile u64 *)&kept->task = 0;
}

/*
 * Tasks whose last exec failed: their next success, or their end, ends a PATH search. How many of them are of one
 * place is counted there, where every exec that succeeds looks in any case: nearly always it is none.
 * An entry says whose holding it is of.
 */
BPF_HASH(searchers, u64, u32, MAX_SEARCHERS);

static __always_inline void count_searchers(u64 task, s32 more)
{
    u32 slot = hash_of(task, KEPT_BITS);
    struct kept_path *kept = kept_paths.lookup(&slot);
    if (kept)
        lock_xadd(&kept->searchers, more);
}

/* False where there is no room, or none for this user. */
static __always_inline bool follow_search(u64 task)
{
    if (searchers.lookup(&task))
        return true;
    u32 holder = holder_here();
    struct holding *holding = holding_of(holder);
    if (!holding || *(volatile u32 *)&holding->searches >= MAX_SEARCHERS / SHARE_OF_TABLE ||
        searchers.update(&task, &holder))
        return false;
    lock_xadd(&holding->searches, 1);
    count_searchers(task, 1);
    return true;
}

static __always_inline bool is_searching(u64 task)
{
    u32 slot = hash_of(task, KEPT_BITS);
    struct kept_path *kept = kept_paths.lookup(&slot);
    return kept && *(volatile u32 *)&kept->searchers && searchers.lookup(&task);
}

static __always_inline void leave_search(u64 task)
{
    u32 *found = searchers.lookup(&task);
    if (!found)
        return;
    u32 holder = *found;
    if (searchers.delete(&task))
        return;
    count_searchers(task, -1);
    struct holding *holding = holding_of(holder);
    if (holding)
        lock_xadd(&holding->searches, -1);
}

/* What reads of a string return, but 1 for an empty one, as since 6.14. */
static __always_inline s64 with_its_nul(s64 n)
{
    return n + bit_if_zero(n);
}

/* A length: the call has begun, and its path is not kept yet. */
#define NOT_KEPT (-32768)

/* Facts of a kept path. */
#define IS_LONG 1 /* the whole of it is in `long_paths` */
#define BY_DIRECTORY 2 /* execveat's directory stands before it: "/dev/fd/3/program" */
#define OF_ONE_TASK 4 /* no other task could run in the memory that it is in */
#define BEGAN_BEFORE 8 /* the call began earlier than was seen */

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

/* Where the hooks of a plan have a path: in the kernel's memory or in the caller's. */
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

static __always_inline void keep_path(struct kept_path *kept, u64 task, u64 from, u32 facts)
{
    kept->pointer = from;
    kept->length = read_path_at(kept->bytes, KEPT_SIZE, from);
    kept->facts = facts | (kept->length == KEPT_SIZE ? keep_long_path(task, from) : 0);
}

static __always_inline void begin_call(struct kept_path *kept, u64 task)
{
    kept->task = task;
    kept->began = ticks_now();
    kept->length = NOT_KEPT;
}

/* The ticks since a call began, and the one in which it did. */
static __always_inline u32 ticks_of(struct kept_path *kept)
{
    return ticks_now() - kept->began + 1;
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

/* Copies a kept path; its length, or a negative number where it could not be read. Cut where only a part was kept. */
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
 * Keeps the kernel's copy of a path; the first one of a call, since those of its interpreters come later.
 *
 * `is_first`: the kernel has looked for no file yet, so the call has not begun later than now.
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

/* The kernel's copy into `s->path`; its length, or a negative number where there is none. */
static __always_inline s64 read_copied_path(struct scratch *s, u64 task)
{
    s64 n = -1;
    bool is_cut = false;
    struct kept_path *kept = enter_path(task);
    if (!kept)
        return n;
    if (kept->task == task) {
        n = read_kept_path(s->path.bytes, kept, task, &is_cut);
        s->ticks = kept->length != NOT_KEPT && kept->facts & BEGAN_BEFORE ? 0 : ticks_of(kept);
    }
    if (n >= 0)
        s->record.bits |=
            PATH_OF_KERNEL | (is_cut ? PATH_CUT : 0) | (kept->facts & BY_DIRECTORY ? PATH_BY_DIRECTORY : 0);
    leave_path(kept);
    return n;
}

#else /* no hook has the kernel's copy */

/*
 * Whether nobody else runs in the caller's memory: it is in use once, or a second time by the parent of a
 * vfork, which waits. Whoever writes there from outside (process_vm_writev, /proc/PID/mem) uses it, too, for
 * as long as that takes; so this is asked after the path was read.
 */
static __always_inline bool is_of_one_task(u64 task)
{
#if TYPED
    u64 me = bpf_get_current_task_typed();
#else
    u64 me = task;
#endif
    u64 mm = member(me, AT_task_struct_mm);
    u32 users = member_u32(mm, AT_mm_struct_mm_users);
    if (users != 2 || !member(me, AT_task_struct_vfork_done))
        return users == 1;
    return member(member(me, AT_task_struct_real_parent), AT_task_struct_mm) == mm;
}

static __always_inline void keep_call_path(u64 from)
{
    u64 task = bpf_get_current_task();
    struct kept_path *kept = enter_path(task);
    if (!kept) {
        drop_path(task);
        return;
    }
    begin_call(kept, task);
    keep_path(kept, task, from, 0);
    asm volatile("" : : : "memory");
    kept->facts |= is_of_one_task(task) ? OF_ONE_TASK : 0;
    leave_path(kept);
}

#define MEMORY_PRIVATE 1 /* no other memory is the same, and no file that somebody but root may write */
#define MEMORY_OF_FILE 2 /* and nothing in it was ever written */

#if FINDS_MEMORY
static long (*find_vma)(u64 task, u64 address, void *callback, void *context, u64 flags) = (void *)180;

struct memory {
    u64 end; /* of the path */
    u64 facts;
};

/* A file that nobody but root may write now, or while this program runs, which is made from it. */
static __always_inline bool is_fixed(u64 inode, u64 vma)
{
    if (member(member(inode, AT_inode_i_sb), AT_super_block_s_magic) == FUSE_SUPER_MAGIC)
        return false;
    if (!member_u32(inode, AT_inode_i_uid) && inode && !(*(volatile u16 *)(inode + AT_inode_i_mode) & 022))
        return true;
    u64 program = member(member(vma, AT_vm_area_struct_vm_mm), AT_mm_struct_exe_file);
    return member(program, AT_file_f_inode) == inode && (s32)member_u32(inode, AT_inode_i_writecount) < 0;
}

/* What find_vma calls, with the lock of the memory held: its arguments are the task, the vma and `struct memory *`. */
int on_memory(void *task)
{
    u64 vma, found;
    asm volatile("%0 = r2\n%1 = r3" : "=&r"(vma), "=&r"(found));
    struct memory *memory = (struct memory *)found;
    u64 file = *(volatile u64 *)(vma + AT_vm_area_struct_vm_file);
    if (*(volatile u64 *)(vma + AT_vm_area_struct_vm_flags) & VM_SHARED ||
        *(volatile u64 *)(vma + AT_vm_area_struct_vm_end) < memory->end)
        return 0;
    if (!file)
        memory->facts = MEMORY_PRIVATE;
    else if (is_fixed(member(file, AT_file_f_inode), vma))
        memory->facts = MEMORY_PRIVATE | (*(volatile u64 *)(vma + AT_vm_area_struct_anon_vma) ? 0 : MEMORY_OF_FILE);
    return 0;
}

static __always_inline u64 memory_of(u64 address, u64 size)
{
    struct memory memory = {.end = address + size};
    find_vma(bpf_get_current_task_typed(), address, (void *)ON_MEMORY, &memory, 0);
    return memory.facts;
}
#else
static __always_inline u64 memory_of(u64 address, u64 size)
{
    return 0;
}
#endif

static __always_inline void pad(union reading *reading, u64 length)
{
    asm volatile("" : "+r"(length));
    if (length > CHUNK)
        return;
#pragma clang loop unroll(full)
    for (u32 i = 0; i < STRIDE; i += 8)
        *(u64 *)&reading->bytes[length + i] = 0;
}

/*
 * Whether both readings, which are of the same length, are the same: in strides, the last one padded. The length
 * is read anew each time, so that the verifier does not follow what it can be.
 */
static __always_inline bool readings_are_same(struct scratch *s)
{
    u64 differs = 0;
    pad(&s->path, s->path_length);
    pad(&s->before, s->path_length);
#pragma clang loop unroll(disable)
    for (u64 at = 0; at < CHUNK / 8; at += STRIDE / 8) {
        if (8 * at >= *(volatile u64 *)&s->path_length)
            break;
#pragma clang loop unroll(full)
        for (u32 i = 0; i < STRIDE / 8; i++)
            differs |= s->path.words[at + i] ^ s->before.words[at + i];
    }
    return bit_if_zero(differs);
}

/*
 * Compares what the memory said when the call began, in `s->before`, with what it says now. Where the page was
 * not there when the call began, it is known all the same what it held, if that can only be what a file holds
 * that nobody writes.
 */
static __always_inline void compare_readings(struct scratch *s, s64 before, u32 facts)
{
    s64 now = s->path_length;
    if (before > 0 && (now != before || !readings_are_same(s))) {
        s->record.bits = (s->record.bits & ~PATH_CUT) | PATH_BEFORE;
        return;
    }
    if (now <= 0 || !(facts & OF_ONE_TASK))
        return;
    if (memory_of(s->call.path, s->path_length) & (before > 0 ? MEMORY_PRIVATE : MEMORY_OF_FILE))
        s->record.bits |= PATH_UNCHANGED;
}

static __always_inline void compare_with_kept(struct scratch *s, u64 task)
{
    bool is_cut = false;
    struct kept_path *kept = enter_path(task);
    if (!kept)
        return;
    /* Of a 32-bit call nothing is kept: what is there is of another, which succeeded without a new program. */
    bool is_of_call = kept->task == task && kept->pointer == s->call.path && !(s->record.bits & COMPAT);
    u32 facts = kept->facts;
    s->ticks = is_of_call ? ticks_of(kept) : 0;
    s64 before = is_of_call ? read_kept_path(s->before.bytes, kept, task, &is_cut) : -1;
    leave_path(kept);
    if (is_of_call && !is_cut)
        compare_readings(s, before, facts);
}

#endif
