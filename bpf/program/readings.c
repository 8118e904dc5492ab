// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The path where no hook sees the kernel's copy: what the caller's memory held when the call began is
 * compared with what it holds at the end. Equal readings prove the path only if nobody else could write there
 * in between.
 */

#if !JOINED

/*
 * Whether nobody else runs in the caller's memory: it has one user, or a second one that is the waiting
 * parent of a vfork. A process that writes there from outside (process_vm_writev, /proc/PID/mem) counts as a
 * user while it does so. Ask this after the path was read.
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

#define MEMORY_PRIVATE 1 /* neither shared nor mapped from a file that anyone but root may write */
#define MEMORY_OF_FILE 2 /* and still as in that file: never written */

#if FINDS_MEMORY
static long (*find_vma)(u64 task, u64 address, void *callback, void *context,
                        u64 flags) = (void *)HELPER_find_vma;

struct memory {
    u64 end; /* of the path */
    u64 facts;
};

/* Write permission for group and others. */
#define S_IWGRP_OR_S_IWOTH 022

/* Whether nobody but root can write a file now, or while this program, which was started from it, runs. */
static __always_inline bool is_fixed(u64 inode, u64 vma)
{
    if (member(member(inode, AT_inode_i_sb), AT_super_block_s_magic) == FUSE_SUPER_MAGIC)
        return false;
    if (!member_u32(inode, AT_inode_i_uid) && inode &&
        !(*(volatile u16 *)(inode + AT_inode_i_mode) & S_IWGRP_OR_S_IWOTH))
        return true;
    u64 program = member(member(vma, AT_vm_area_struct_vm_mm), AT_mm_struct_exe_file);
    return member(program, AT_file_f_inode) == inode && (s32)member_u32(inode, AT_inode_i_writecount) < 0;
}

/*
 * The callback of find_vma, which holds mmap_lock: its arguments are the task, the vma and `struct memory *`.
 */
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
        memory->facts =
            MEMORY_PRIVATE | (*(volatile u64 *)(vma + AT_vm_area_struct_anon_vma) ? 0 : MEMORY_OF_FILE);
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
#endif /* FINDS_MEMORY */

static __always_inline void pad(union reading *reading, u64 length)
{
    asm volatile("" : "+r"(length));
    if (length > CHUNK)
        return;
#pragma clang loop unroll(full)
    for (u32 i = 0; i < STRIDE; i += sizeof(u64))
        *(u64 *)&reading->bytes[length + i] = 0;
}

/*
 * Whether two readings of the same length are equal. They are compared in strides, of which the last is
 * padded. The length is read anew each time, so that the verifier does not follow its possible values.
 */
static __always_inline bool readings_are_equal(struct scratch *s)
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
 * Compare what the memory held when the call began, in `s->before`, with what it holds now. If the page was
 * not present when the call began, its contents are known all the same if they can only come from a file that
 * nobody writes.
 */
static __always_inline void compare_readings(struct scratch *s, s64 before, u32 facts)
{
    s64 now = s->path_length;
    if (before > 0 && (now != before || !readings_are_equal(s))) {
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
    /*
     * For a 32-bit call nothing is kept: what is there belongs to another, which succeeded without a new
     * program.
     */
    bool is_of_call = kept->task == task && kept->pointer == s->call.path && !(s->record.bits & COMPAT);
    u32 facts = kept->facts;
    s->ticks = is_of_call ? ticks_of(kept) : 0;
    if (is_of_call && facts & IN_OWN_DIRECTORIES)
        s->record.bits |= OWN_DIRECTORIES;
    s64 before = is_of_call ? read_kept_path(s->before.bytes, kept, task, &is_cut) : -1;
    leave_path(kept);
    if (is_of_call && !is_cut)
        compare_readings(s, before, facts);
}

#endif /* !JOINED */
