// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The record of one exec that has failed. */

/* Appends one of the two readings of the path. */
static __always_inline void append_reading(struct scratch *s, const union reading *reading)
{
    u64 at = place_in_data(s);
    if (at > DATA_SIZE - CHUNK)
        return;
    s64 n = read_kernel_string(&s->data[at], CHUNK, reading);
    s->record.used = at + (n > 0 ? n : 0);
}

/*
 * After the point of no return the caller's old memory is gone, and with it path, argv and envp.
 * The kernel had copied the path to the top of the new stack, where only 8 zero bytes follow it;
 * arg_end is not set until the new program is complete (fs/binfmt_elf.c, create_elf_tables). What
 * goes into the path section is the end of that stack; user space finds the last string in it.
 */
static __always_inline void append_new_image_path(struct scratch *s, u64 task)
{
    u64 fatal = (1ULL << (SIGSEGV - 1)) | (1ULL << (SIGKILL - 1));
    u64 mm = kernel_u64(task + AT_task_struct_mm);
    u64 strings = kernel_u64(mm + AT_mm_struct_arg_start);
    if (!(kernel_u64(task + AT_task_struct_pending_signal) & fatal) || !strings ||
        kernel_u64(mm + AT_mm_struct_arg_end))
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

/* What is where the path was is the new program's, if the exec failed late. */
static __always_inline bool path_is_gone(struct scratch *s, struct opened *opened)
{
    return was_late(opened) && !s->call.by_kernel;
}

/* The path as the caller has it now. */
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

/* Reads the path into `s->path`, and says in the record's bits what that is worth. */
static __always_inline void read_path(struct scratch *s, u64 task, struct opened *opened)
{
    s64 n = -1;
    s->ticks = 0;
#if JOINED
    if (!s->call.by_kernel)
        n = read_copied_path(s, task);
#endif
    if (n < 0 && !path_is_gone(s, opened))
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
    if (r->bits & NEW_IMAGE) /* better: the kernel's own copy */
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

/* The path of the file that the kernel had open. */
static __always_inline void append_binary(struct scratch *s, struct place binary)
{
    u32 start = s->record.used;
    u8 end = NO_FILE;
#if JOINED
    if (binary.dentry)
        end = append_path(s, binary, root_of_caller(s));
#endif
    s->record.ends[4] = end;
    s->record.lengths[SECTION_BINARY] = section_length(s, start);
}

/* The first of the capture's paths that matches decides; where none does, whether all of them exclude. */
static __always_inline bool path_passes(struct scratch *s, struct capture *capture)
{
    for (u32 i = 0; i < MAX_CAPTURE_PATHS; i++) {
        if (i >= capture->paths)
            break;
        u32 length = capture->path_length[i];
        for (u32 j = 0; j < CAPTURE_PATH_SIZE; j++) {
            if (j >= length)
                return i >= capture->excluded;
            if (s->path.bytes[j] != (u8)capture->path[i * CAPTURE_PATH_SIZE + j])
                break;
        }
    }
    return capture->paths == capture->excluded;
}

static __always_inline bool uid_matches(u32 uid, struct capture *capture)
{
    for (u32 i = 0; i < MAX_UID_RANGES; i++) {
        if (i >= capture->uid_ranges)
            return false;
        if (uid >= capture->uid_low[i] && uid <= capture->uid_high[i])
            return true;
    }
    return false;
}

static __always_inline struct capture *capture_in_force(void)
{
    u32 zero = 0;
    u64 *active = controls.lookup(&zero);
    u32 index = active && *active ? 1 : 0;
    return captures.lookup(&index);
}

static __always_inline void fill_ids(struct record *r)
{
    u64 ids = bpf_get_current_pid_tgid();
    r->timestamp = record_clock();
    r->pid = ids >> 32;
    r->tid = ids;
    bpf_get_current_comm(r->comm, sizeof(r->comm));
}

/* Of what is in `s`: `used` bytes follow the header. */
static __always_inline u64 size_of_record(struct scratch *s)
{
    u64 size = sizeof(s->record) + (u64)s->record.used;
    asm volatile("" : "+r"(size)); /* else it is checked before the sum, which Linux 5.4 does not follow */
    return size > sizeof(s->record) + DATA_SIZE ? sizeof(s->record) + DATA_SIZE : size;
}

/* `exceeds_share` says whether a user may write now; `emit` hands a record over, and counts it as theirs. */
#if PERF_BUFFER
static __always_inline bool exceeds_share(u32 uid)
{
    return false;
}

static __always_inline int emit(void *ctx, struct scratch *s, u32 uid)
{
    return events.perf_submit(ctx, s, size_of_record(s));
}
#else
/* Where the ring is read and written (BPF_RB_CONS_POS, BPF_RB_PROD_POS), in bytes since it was made. */
static __always_inline u64 ring_position(u64 which)
{
    return query_ring((void *)bpf_pseudo_fd(1, EVENTS_MAP), which);
}

/*
 * Whether a user's records must wait until some of theirs have been read. While less than half of the ring
 * waits to be read, they need not. Then a user may have there up to twice what is still free: one who fills
 * the ring alone leaves a quarter of it, several together leave less, and who has written nothing has all of
 * that. It goes by the ring itself, so it holds however long the reader does not come to read.
 */
static __always_inline bool exceeds_share(u32 uid)
{
    u64 read = ring_position(BPF_RB_CONS_POS); /* first: so that it is never ahead of what is written */
    u64 waiting = ring_position(BPF_RB_PROD_POS) - read;
    if (waiting < RING_BYTES / 2)
        return false;
    u32 user = user_of(uid);
    struct share *share = shares.lookup(&user);
    if (!share || read >= share->end)
        return false;
    u64 bytes = share->after + (read >= share->turn ? 0 : share->before);
    return bytes > SHARE_OF_ROOM * (RING_BYTES - waiting);
}

/* Counts what a user has written, once so much waits in the ring that it matters. */
static __always_inline void count_share(u32 uid, u64 size)
{
    u64 read = ring_position(BPF_RB_CONS_POS);
    u64 written = ring_position(BPF_RB_PROD_POS);
    if (written - read < RING_BYTES / 4)
        return;
    u32 user = user_of(uid);
    u64 room = (size + BPF_RINGBUF_HDR_SZ + 7) & ~7ULL;
    struct share *share = shares.lookup(&user);
    if (!share) {
        struct share first = {.end = written, .turn = written, .after = room};
        shares.update(&user, &first);
        return;
    }
    if (read >= share->turn) { /* of what was written before it, nothing waits any more */
        share->before = read >= share->end ? 0 : share->after;
        share->after = 0;
        share->turn = written;
    }
    share->end = written;
    lock_xadd(&share->after, room);
}

static __always_inline int emit(void *ctx, struct scratch *s, u32 uid)
{
    u64 size = size_of_record(s);
    if (events.ringbuf_output(s, size, 0))
        return -1;
    count_share(uid, size);
    return 0;
}
#endif

/* Whether it is certain that the kernel had this path: nothing is left out for one that may have been another. */
static __always_inline bool path_is_proven(struct scratch *s)
{
    return s->call.by_kernel || s->record.bits & (PATH_OF_KERNEL | PATH_UNCHANGED);
}

static __always_inline void fill_credentials(struct scratch *s, u64 task)
{
    struct record *r = &s->record;
    u64 cred = cred_of_caller(s, task);
    if (!cred)
        return;
    u32 *ids = &r->uid;
    for (u32 i = 0; i < 8; i++)
        ids[i] = *(volatile u32 *)(cred + IN_CRED(uid) + i * sizeof(u32));
    /* Linux before 6.3 has two numbers there. */
    u64 high = *(volatile u32 *)(cred + IN_CRED(cap_effective) + sizeof(u32));
    r->capabilities = high << 32 | *(volatile u32 *)(cred + IN_CRED(cap_effective));
    /* The first user namespace is the only one without a parent. */
    if (member(*(volatile u64 *)(cred + IN_CRED(user_ns)), AT_user_namespace_parent))
        r->bits |= FOREIGN_USER_NS;
    u64 info = *(volatile u64 *)(cred + IN_CRED(group_info));
    s->groups = member_u32(info, AT_group_info_ngroups);
    s->group_info = info;
}

static __always_inline bool is_wanted(struct scratch *s, u64 task, struct opened *opened)
{
    struct capture *capture = capture_in_force();
    if (!capture)
        return false;
    fill_credentials(s, task);
    if (capture->uid_ranges && !uid_matches(s->record.uid, capture))
        return false;
    read_path(s, task, opened);
    return !capture->paths || !path_is_proven(s) || path_passes(s, capture);
}

/* Before: `s->call`, and return_value, dirfd, flags and bits of `s->record`. */
static __always_inline void write_record(void *ctx, struct scratch *s, u64 task)
{
    struct counters *count = counters_here();
    if (!count)
        return;
    struct record *r = &s->record;
    struct opened *opened = opened_by(task);
    if (!is_wanted(s, task, opened)) {
        lock_xadd(&count->suppressed, 1);
        lock_xadd(&count->seen, 1);
        return;
    }
    if (exceeds_share(r->uid)) {
        lock_xadd(&count->outshared, 1);
        lock_xadd(&count->lost, 1);
        lock_xadd(&count->seen, 1);
        return;
    }
    fill_ids(r);
    r->duration = ((u64)s->ticks * TICK_NS + NS_PER_MS - 1) / NS_PER_MS;
    fill_caller(s, task);
    append_call_path(s, task);
    append_binary(s, tell_opened(r, opened));
    tell_interpreter(s, task, opened);
    tell_copied(s, task, opened);
    if (r->bits & (NEW_IMAGE | LATE) && !s->call.by_kernel) {
        r->bits |= ARGUMENTS_UNREAD | ENVIRONMENT_UNREAD;
        r->counts[0] = r->counts[1] = r->too_long[0] = r->too_long[1] = UNKNOWN;
        r->lengths[SECTION_ARGUMENTS] = r->lengths[SECTION_ENVIRONMENT] = 0;
    } else {
        append_arrays(s);
    }
    append_copied(s, task);
    r->task = task;
    if (!follow_search(task)) {
        r->bits |= UNTRACKED;
        lock_xadd(&count->untracked, 1);
    }
    r->lost_before = count->lost - count->told;
    if (emit(ctx, s, r->uid)) {
        lock_xadd(&count->lost, 1);
    } else {
        lock_xadd(&count->recorded, 1);
        count->told += r->lost_before;
    }
    lock_xadd(&count->seen, 1);
}

/* A failure for which there is no room to say more. */
static __always_inline void count_crowded(void)
{
    struct counters *count = counters_here();
    if (!count)
        return;
    lock_xadd(&count->crowded, 1);
    lock_xadd(&count->lost, 1);
    lock_xadd(&count->seen, 1);
}
