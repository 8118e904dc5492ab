// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The record of one failed exec. */

/* Append one of the two readings of the path. */
static __always_inline void append_reading(struct scratch *s, const union reading *reading)
{
    u64 at = place_in_data(s);
    if (at > DATA_SIZE - CHUNK)
        return;
    s64 n = read_kernel_string(&s->data[at], CHUNK, reading);
    s->record.used = at + (n > 0 ? n : 0);
}

/*
 * After the point of no return the caller's old memory is gone, and with it path, argv and envp. The kernel
 * has copied the path to the top of the new stack, where only 8 zero bytes follow it; arg_end is not set
 * until the new program is complete (fs/binfmt_elf.c, create_elf_tables). The end of that stack goes into the
 * path section, and user space finds the last string in it.
 */
static __always_inline void append_new_image_path(struct scratch *s, u64 task)
{
    u64 mm = kernel_u64(task + AT_task_struct_mm);
    u64 strings = kernel_u64(mm + AT_mm_struct_arg_start);
    if (!is_being_killed(task) || !strings || kernel_u64(mm + AT_mm_struct_arg_end))
        return;
    u64 page = strings & ~(u64)(PAGE_SIZE - 1);
    for (int i = 0; i < MAX_STACK_PAGES; i++) {
        u8 byte;
        if (read_user(&byte, 1, (void *)(page + PAGE_SIZE)))
            break;
        page += PAGE_SIZE;
    }
    u64 at = place_in_data(s);
    if (at > DATA_SIZE - CHUNK || read_user(&s->data[at], CHUNK, (void *)(page + PAGE_SIZE - CHUNK)))
        return;
    s->record.bits |= NEW_IMAGE;
    s->record.used = at + CHUNK;
}

/* Whether the exec failed so late that the path's address is in the new program's memory. */
static __always_inline bool path_is_gone(struct scratch *s, struct exec *exec)
{
    return was_late(exec) && !s->call.by_kernel;
}

/* Read the path that the caller's memory holds now. */
static __always_inline s64 read_call_path(struct scratch *s)
{
    s64 n = read_string(s, s->path.bytes, s->call.path);
    if (n == CHUNK) {
        u8 next = 0;
        read_strings_memory(s, &next, 1, s->call.path + CHUNK - 1);
        s->record.bits |= next ? PATH_CUT : 0;
    }
    return n;
}

/* Read the path into `s->path`, and note in the record's bits how reliable it is. */
static __always_inline void read_path(struct scratch *s, u64 task, struct exec *exec)
{
    s64 n = -1;
    s->ticks = 0;
#if JOINED
    if (!s->call.by_kernel)
        n = read_copied_path(s, task);
#endif
    if (n < 0 && !path_is_gone(s, exec))
        n = read_call_path(s);
    n = with_its_nul(n);
    s->path_length = n;
    s->record.bits |= n < 0 ? PATH_UNREAD : 0;
#if !JOINED
    compare_with_kept(s, task);
#endif
}

static __always_inline void append_call_path(struct scratch *s, u64 task)
{
    struct record *r = &s->record;
    u32 start = r->used;
    if (r->bits & PATH_UNREAD)
        append_new_image_path(s, task);
    r->lengths[SECTION_PATH_AFTERWARDS] = 0;
#if !JOINED
    if (r->bits & NEW_IMAGE) /* the kernel's own copy is better */
        r->bits &= ~PATH_BEFORE;
    if (r->bits & PATH_BEFORE) {
        if (!(r->bits & PATH_UNREAD))
            append_reading(s, &s->path);
        r->lengths[SECTION_PATH_AFTERWARDS] = section_length(s, start);
        start = r->used;
        append_reading(s, &s->before);
    }
#endif
    if (!(r->bits & (PATH_UNREAD | PATH_BEFORE)))
        append_reading(s, &s->path);
    r->lengths[SECTION_PATH] = section_length(s, start);
}

static __always_inline void fill_ids(struct record *r)
{
    u64 ids = bpf_get_current_pid_tgid();
    r->timestamp = record_clock();
    r->pid = ids >> 32;
    r->tid = ids;
    bpf_get_current_comm(r->comm, sizeof(r->comm));
}

/* Whether the kernel certainly used this path. An event is left out only for a path that is certain. */
static __always_inline bool path_is_proven(struct scratch *s)
{
    return s->call.by_kernel || s->record.bits & (PATH_OF_KERNEL | PATH_UNCHANGED);
}

/* The ids in struct cred, and in the record in the same order: uid to fsgid. */
#define IDS 8

static __always_inline void fill_credentials(struct scratch *s, u64 task)
{
    struct record *r = &s->record;
    u64 cred = cred_of_caller(s, task);
    if (!cred)
        return;
    u32 *ids = &r->uid;
    for (u32 i = 0; i < IDS; i++)
        ids[i] = *(volatile u32 *)(cred + IN_CRED(uid) + i * sizeof(u32));
    /* Two numbers of 32 bits in Linux before 6.3. */
    u64 high = *(volatile u32 *)(cred + IN_CRED(cap_effective) + sizeof(u32));
    r->capabilities = high << 32 | *(volatile u32 *)(cred + IN_CRED(cap_effective));
    /* Only the first user namespace has no parent. */
    if (member(*(volatile u64 *)(cred + IN_CRED(user_ns)), AT_user_namespace_parent))
        r->bits |= FOREIGN_USER_NS;
    u64 info = *(volatile u64 *)(cred + IN_CRED(group_info));
    s->groups = member_u32(info, AT_group_info_ngroups);
    s->group_info = info;
}

static __always_inline bool is_wanted(struct scratch *s, u64 task, struct exec *exec)
{
    struct capture *capture = capture_in_force();
    if (!capture)
        return false;
    fill_credentials(s, task);
    if (capture->uid_ranges && !uid_matches(s->record.uid, capture))
        return false;
    read_path(s, task, exec);
    return !capture->paths || !path_is_proven(s) || path_passes(s, capture);
}

/* The caller has set `s->call`, and return_value, dirfd, flags and bits of `s->record`. */
static __always_inline void write_record(void *ctx, struct scratch *s, u64 task)
{
    struct counters *here = counters_here();
    if (!here)
        return;
    struct record *r = &s->record;
    struct exec *exec = exec_of(task);
    if (!is_wanted(s, task, exec)) {
        lock_xadd(&here->suppressed, 1);
        lock_xadd(&here->seen, 1);
        return;
    }
    if (exceeds_share(r->uid)) {
        lock_xadd(&here->outshared, 1);
        lock_xadd(&here->lost, 1);
        lock_xadd(&here->seen, 1);
        return;
    }
    r->kind = KIND_EXEC;
    fill_ids(r);
    r->duration = ((u64)s->ticks * TICK_NS + NS_PER_MS - 1) / NS_PER_MS;
    fill_caller(s, task);
    append_call_path(s, task);
    append_bprm(s, task, exec);
    if (r->bits & (NEW_IMAGE | LATE) && !s->call.by_kernel) {
        r->bits |= ARGUMENTS_UNREAD | ENVIRONMENT_UNREAD;
        r->counts[ARGV] = r->counts[ENVP] = r->too_long[ARGV] = r->too_long[ENVP] = UNKNOWN;
        r->lengths[SECTION_ARGUMENTS] = r->lengths[SECTION_ENVIRONMENT] = 0;
    } else {
        append_arrays(s);
    }
    append_copied(s, task);
    r->task = task;
    if (!follow_search(task)) {
        r->bits |= UNTRACKED;
        lock_xadd(&here->untracked, 1);
    }
    r->lost_before = here->lost - here->reported;
    if (emit(ctx, s, r->uid)) {
        lock_xadd(&here->lost, 1);
    } else {
        lock_xadd(&here->recorded, 1);
        here->reported += r->lost_before;
    }
    lock_xadd(&here->seen, 1);
}
