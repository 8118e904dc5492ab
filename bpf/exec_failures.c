// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Writes one record for each exec that fails.
 *
 * bpf/probe.py puts in front of this text: the declarations of bpf/layout.py, the offsets of
 * bpf/btf.py (AT_<struct>_<member>, in bytes), and the sizes that bpf/probe.py chooses.
 *
 * Kernel objects are addressed by number (u64) and read with explicit helper calls: nothing here
 * depends on kernel headers, and bcc rewrites nothing.
 */

BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/* Read by user space through mmap: looking needs neither a system call nor a privilege. */
BPF_F_TABLE("array", u32, struct counters, counters, CPUS, BPF_F_MMAPABLE);

/* Two, of which `active_capture` tells the one in force, so that a change is seen whole or not at all. */
BPF_F_TABLE("array", u32, struct capture, captures, 2, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, u64, active_capture, 1, BPF_F_MMAPABLE);

/* What the caller asked for. */
struct call {
    u64 path;
    u64 arrays[2]; /* argv, envp */
    u32 pointer_size;
};

struct place {
    u64 dentry;
    u64 mount; /* struct vfsmount, not struct mount */
};

/* A path to be walked, up to `root` or, where that is empty, to the top. */
struct walk {
    struct place place;
    struct place root;
};

/* Tasks whose last exec failed: their next success, or their end, ends a PATH search. */
BPF_HASH(searchers, u64, u8, MAX_SEARCHERS);

struct scratch {
    /* Must come first: a record is written from here on. */
    struct record record;
    u8 data[DATA_SIZE];
    struct call call; /* in map memory: the verifier need not tell callers apart */
    struct walk walks[3]; /* in the order of their sections: cwd, root, stdin */
    /* Copies of parts of kernel structures: a read costs 40 ns, however short it is. */
    u8 registers[SPAN_registers];
    u8 task[SPAN_task];
    u8 parent[SPAN_parent];
    u8 cred[SPAN_cred];
    u8 fs[SPAN_fs];
    u8 file[SPAN_file];
    u8 inode[SPAN_inode];
    u64 pointers[33]; /* a block of 32, and room for a wide look at the last one of 64 narrow ones */
    u64 block;
    u64 block_mask;
    u32 block_size;
    u64 string;
    u32 elements;
};

/* One for each CPU, in an ordinary array: a per-CPU array holds at most 32 KiB. The hooks run with
 * preemption off, and none of them nests in another. */
BPF_ARRAY(scratches, struct scratch, CPUS);

/* ---- reading the kernel ------------------------------------------------------------------- */

static __always_inline u64 kernel_u64(u64 address)
{
    u64 value = 0;
    bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
    return value;
}

static __always_inline u32 kernel_u32(u64 address)
{
    u32 value = 0;
    bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
    return value;
}

static __always_inline u64 u64_in(const u8 *part, u32 offset)
{
    return *(const u64 *)&part[offset];
}

static __always_inline u32 u32_in(const u8 *part, u32 offset)
{
    return *(const u32 *)&part[offset];
}

/* ---- sections ----------------------------------------------------------------------------- */

/* `used` lives in map memory and is checked at each use: kept in a register, the verifier would
 * follow every value that it can take. */

static __always_inline u64 place_in_data(struct scratch *s)
{
    u64 at = s->record.used;
    asm volatile("" : "+r"(at)); /* else the compiler checks one copy of it and uses another */
    return at;
}

static __always_inline int append_kernel_string(struct scratch *s, u64 address)
{
    u64 at = place_in_data(s);
    if (at > DATA_SIZE - CHUNK)
        return -1;
    int n = bpf_probe_read_kernel_str(&s->data[at], 256, (void *)address);
    if (n > 0)
        s->record.used = at + n;
    return n;
}

static __always_inline u32 section_length(struct scratch *s, u32 start)
{
    return s->record.used - start;
}

static __always_inline struct place place_in(const u8 *part, u32 offset)
{
    struct place place = {
        .dentry = u64_in(part, offset + AT_path_dentry),
        .mount = u64_in(part, offset + AT_path_mnt),
    };
    return place;
}

/* What a path needs of struct dentry lies close together: one read. */
struct dentry_part {
    u8 bytes[SPAN_dentry];
};

/* The components from `place` up to `root`, leaf first, each with its NUL, as d_path would walk. */
static __always_inline u8 append_path(struct scratch *s, struct place place, struct place root)
{
    u32 start = s->record.used;
    u8 end = UNFINISHED;
    u64 mount_root = kernel_u64(place.mount + AT_vfsmount_mnt_root);
    for (int i = 0; i < MAX_COMPONENTS; i++) {
        if (section_length(s, start) >= MAX_PATH_BYTES)
            break;
        if (place.dentry == root.dentry && place.mount == root.mount) {
            end = AT_ROOT;
            break;
        }
        struct dentry_part part;
        if (bpf_probe_read_kernel(&part, sizeof(part), (void *)(place.dentry + START_dentry)))
            break;
        u64 parent = u64_in(part.bytes, AT_dentry_d_parent - START_dentry);
        u64 name = u64_in(part.bytes, AT_dentry_d_name_name - START_dentry);
        if (place.dentry == mount_root || place.dentry == parent) {
            u64 mount = place.mount - AT_mount_mnt;
            u64 above = kernel_u64(mount + AT_mount_mnt_parent);
            if (place.dentry != mount_root) { /* pipe, memfd, ...: a name at most */
                append_kernel_string(s, name);
                end = OF_NO_TREE;
                break;
            }
            if (above == mount) {
                end = AT_TOP;
                break;
            }
            place.dentry = kernel_u64(mount + AT_mount_mnt_mountpoint);
            place.mount = above + AT_mount_mnt;
            mount_root = kernel_u64(place.mount + AT_vfsmount_mnt_root);
            continue;
        }
        if (append_kernel_string(s, name) < 0)
            break;
        place.dentry = parent;
    }
    return end;
}

/* One loop for all paths: inlined thrice, it would take twice as long to compile. */
static __always_inline void append_paths(struct scratch *s)
{
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < 3; i++) {
        u32 start = s->record.used;
        u8 end = NO_FILE;
        if (s->walks[i].place.dentry)
            end = append_path(s, s->walks[i].place, s->walks[i].root);
        s->record.ends[i] = end;
        s->record.lengths[SECTION_CWD + i] = section_length(s, start);
    }
}

static __always_inline void append_cgroup(struct scratch *s, u64 task)
{
    u32 start = s->record.used;
    u8 end = UNFINISHED;
    u64 set = kernel_u64(task + AT_task_struct_cgroups);
    u64 node = kernel_u64(kernel_u64(set + AT_css_set_dfl_cgrp) + AT_cgroup_kn);
    for (int i = 0; i < 32; i++) {
        u64 parent = kernel_u64(node + AT_kernfs_node_parent);
        if (!node || !parent) {
            end = node ? AT_ROOT : NO_FILE;
            break;
        }
        if (append_kernel_string(s, kernel_u64(node + AT_kernfs_node_name)) < 0)
            break;
        node = parent;
    }
    s->record.lengths[SECTION_CGROUP] = section_length(s, start);
    s->record.ends[3] = end;
}

/* ---- the caller --------------------------------------------------------------------------- */

static __always_inline void append_ancestors(struct scratch *s)
{
    u32 start = s->record.used;
    u64 parent = u64_in(s->task, AT_task_struct_real_parent - START_task);
    for (int i = 0; i < MAX_ANCESTORS; i++) {
        u64 at = place_in_data(s);
        if (bpf_probe_read_kernel(s->parent, sizeof(s->parent), (void *)(parent + START_parent)))
            break;
        u32 pid = u32_in(s->parent, AT_task_struct_tgid - START_parent);
        if (!pid || at > DATA_SIZE - CHUNK)
            break;
        struct ancestor *ancestor = (struct ancestor *)&s->data[at];
        ancestor->pid = pid;
        u64 leader = u64_in(s->parent, AT_task_struct_group_leader - START_parent);
        bpf_probe_read_kernel(ancestor->comm, COMM_SIZE, (void *)(leader + AT_task_struct_comm));
        s->record.used = at + sizeof(*ancestor);
        parent = u64_in(s->parent, AT_task_struct_real_parent - START_parent);
    }
    s->record.lengths[SECTION_ANCESTORS] = section_length(s, start);
}

static __always_inline void append_groups(struct scratch *s)
{
    u64 info = u64_in(s->cred, AT_cred_group_info - START_cred);
    u32 count = kernel_u32(info + AT_group_info_ngroups);
    u64 at = place_in_data(s);
    s->record.lengths[SECTION_GROUPS] = 0;
    if (count > MAX_GROUPS) {
        s->record.bits |= GROUPS_CUT;
        return;
    }
    if (!count || at > DATA_SIZE - CHUNK)
        return;
    if (bpf_probe_read_kernel(&s->data[at], count * sizeof(u32), (void *)(info + AT_group_info_gid))) {
        s->record.bits |= GROUPS_CUT;
        return;
    }
    s->record.used = at + count * sizeof(u32);
    s->record.lengths[SECTION_GROUPS] = count * sizeof(u32);
}

static __always_inline struct place fill_stdin(struct scratch *s)
{
    struct place none = {};
    struct record *r = &s->record;
    r->stdin_mode = 0;
    r->stdin_inode = 0;
    u64 table = kernel_u64(u64_in(s->task, AT_task_struct_files - START_task) + AT_files_struct_fdt);
    u64 file = kernel_u64(kernel_u64(table + AT_fdtable_fd));
    if (!file || bpf_probe_read_kernel(s->file, sizeof(s->file), (void *)(file + START_file)))
        return none;
    u64 inode = u64_in(s->file, AT_file_f_inode - START_file);
    if (bpf_probe_read_kernel(s->inode, sizeof(s->inode), (void *)(inode + START_inode)))
        return none;
    r->stdin_mode = u32_in(s->inode, AT_inode_i_mode - START_inode);
    r->stdin_inode = u64_in(s->inode, AT_inode_i_ino - START_inode);
    if (!u32_in(s->inode, AT_inode_i_nlink - START_inode))
        r->bits |= STDIN_DELETED;
    return place_in(s->file, AT_file_f_path - START_file);
}

static __always_inline void fill_caller(struct scratch *s, u64 task)
{
    struct record *r = &s->record;
    bpf_probe_read_kernel(s->task, sizeof(s->task), (void *)(task + START_task));
    u64 signal = u64_in(s->task, AT_task_struct_signal - START_task);
    u64 tty = kernel_u64(signal + AT_signal_struct_tty);
    if (!tty || bpf_probe_read_kernel_str(r->tty, TTY_SIZE, (void *)(tty + AT_tty_struct_name)) < 0)
        r->tty[0] = 0;

    u64 proxy = u64_in(s->task, AT_task_struct_nsproxy - START_task);
    r->mount_ns = kernel_u32(kernel_u64(proxy + AT_nsproxy_mnt_ns) + AT_mnt_namespace_ns_inum);
    u64 pid = u64_in(s->task, AT_task_struct_thread_pid - START_task);
    u64 level = kernel_u32(pid + AT_pid_level);
    u64 numbers = pid + AT_pid_numbers + level * SIZE_upid;
    r->pid_ns = kernel_u32(kernel_u64(numbers + AT_upid_ns) + AT_pid_namespace_ns_inum);

    u64 leader = u64_in(s->task, AT_task_struct_group_leader - START_task);
    r->started = kernel_u64(leader + AT_task_struct_start_boottime);
    r->pending_signals = u64_in(s->task, AT_task_struct_pending_signal - START_task);

    u64 fs = u64_in(s->task, AT_task_struct_fs - START_task);
    bpf_probe_read_kernel(s->fs, sizeof(s->fs), (void *)(fs + START_fs));
    struct place root = place_in(s->fs, AT_fs_struct_root - START_fs);
    struct place cwd = place_in(s->fs, AT_fs_struct_pwd - START_fs);
    struct walk walks[3] = {{cwd, root}, {root, {}}, {fill_stdin(s), root}};
    if (!kernel_u32(kernel_u64(cwd.dentry + AT_dentry_d_inode) + AT_inode_i_nlink))
        r->bits |= CWD_DELETED;
    __builtin_memcpy(s->walks, walks, sizeof(walks));
    append_paths(s);
    append_cgroup(s, task);
    append_ancestors(s);

    r->capabilities = u64_in(s->cred, AT_cred_cap_effective - START_cred);
    append_groups(s);
}

/* ---- argv and envp ------------------------------------------------------------------------ */

/*
 * The verifier walks these loops turn by turn and goes both ways at each condition. So what changes
 * from turn to turn lives in map memory, where it follows no values, and the only conditions are the
 * ends of a loop: 0 or 1 is computed with bit_if_*.
 */

static __always_inline u64 top_bit(u64 value)
{
    asm volatile("" : "+r"(value)); /* else the compiler sees through it and makes a condition of it */
    return value >> 63;
}

static __always_inline u64 bit_if_zero(u64 value)
{
    return top_bit(value | -value) ^ 1;
}

static __always_inline u64 bit_if_less(u64 a, u64 b) /* both below 2^63 */
{
    return top_bit(a - b);
}

static __always_inline u64 read_block(struct scratch *s, u64 from, u32 size)
{
    if (size > BLOCK)
        return 1;
    return bpf_probe_read_user(s->pointers, size, (void *)from);
}

/*
 * Goes on counting at `elements`, without reading strings. Pointers are read in blocks that end at
 * multiples of their size and so never cross a page: an array that ends where its mapping ends can
 * still be read. A block's zero is looked for as in strlen: of all pointers at once.
 */
static __always_inline u32 count_pointers(struct scratch *s, u64 array)
{
    u64 narrow = bit_if_less(s->call.pointer_size, 8);
    u64 ones = 1 | narrow << 32;
    u64 tops = 1ULL << 63 | narrow << 31;
    u64 from = array + (u64)s->elements * s->call.pointer_size;
    u32 size = BLOCK - (from & (BLOCK - 1));
    if (from & (s->call.pointer_size - 1))
        return UNKNOWN;
    u64 found = 0;
    for (int turn = 0; turn < MAX_COUNTED_BLOCKS; turn++) {
        if (!turn)
#pragma clang loop unroll(disable)
            for (int i = 0; i < BLOCK / 8; i++)
                s->pointers[i] = ~0ULL;
        if (read_block(s, from, size))
            return UNKNOWN;
#pragma clang loop unroll(disable)
        for (int i = 0; i < BLOCK / 8; i++) {
            u64 value = s->pointers[i];
            found |= (value - ones) & ~value & tops;
        }
        if (found)
            break;
        s->elements += size >> (3 - narrow);
        from += size;
        size = BLOCK;
    }
    if (!found)
        return UNKNOWN;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < BLOCK / 4; i++) {
        u64 pointer = ((u32 *)s->pointers)[i];
        if (!narrow)
            pointer = i < BLOCK / 8 ? s->pointers[i] : 0;
        if (!pointer)
            return s->elements + i;
    }
    return UNKNOWN;
}

/* Appends the strings of `array` (argv or envp), each behind its length, and tells how many there are. */
static __always_inline u32 append_array(struct scratch *s, u64 array, u32 limit, u32 cut_bit, u32 unread_bit)
{
    u32 start = s->record.used;
    s->elements = 0;
    s->string = 0; /* where the string goes on that did not fit one read */
    if (!array) /* the kernel takes NULL for an empty array */
        return 0;
    /* Pointers are read in aligned blocks, as when counting; one by one where the array is not aligned. */
    bool aligned = !(array & (s->call.pointer_size - 1));
    s->block = 1; /* none yet */
    s->block_mask = aligned ? ~(u64)(BLOCK - 1) : ~0ULL;
    s->block_size = aligned ? BLOCK : 8;
    for (int turn = 0; turn < MAX_ELEMENTS; turn++) {
        u64 at = place_in_data(s);
        if (at > DATA_SIZE - 2 * CHUNK || at >= (u64)start + limit)
            break;
        u64 from = array + (u64)s->elements * s->call.pointer_size;
        u64 block = from & s->block_mask;
        if (block != s->block && read_block(s, block, s->block_size)) {
            s->record.bits |= unread_bit;
            return UNKNOWN;
        }
        s->block = block;
        u64 pointer = *(u64 *)((u8 *)s->pointers + ((from - block) & (BLOCK - 1)));
        u64 wide = 0 - bit_if_zero(s->call.pointer_size - 8);
        pointer &= 0xffffffff | wide;
        u64 string = s->string | (pointer & -bit_if_zero(s->string));
        if (!string)
            return s->elements;
        s64 n = bpf_probe_read_user_str(&s->data[at + 2], CHUNK, (void *)string);
        u64 unread = bit_if_less(n + 4095, 4096); /* n <= 0 */
        u64 more = bit_if_zero(n - CHUNK);
        *(u16 *)&s->data[at] = (n - 1) | -unread | more * CONTINUED;
        s->record.used = at + 2 + ((n - 1) & (unread - 1));
        s->string = (string + CHUNK - 1) & -more;
        s->elements += 1 - more;
    }
    /* A string that filled its last read may have ended there: its NUL would come next. */
    u8 next = 1;
    u64 at = place_in_data(s);
    if (s->string && !bpf_probe_read_user(&next, 1, (void *)s->string) && !next && at < DATA_SIZE - CHUNK) {
        *(u16 *)&s->data[at] = 0;
        s->record.used = at + 2;
        s->string = 0;
        s->elements++;
    }
    u32 held = s->elements;
    u32 total = count_pointers(s, array);
    if (total != held)
        s->record.bits |= cut_bit;
    return total;
}

static __always_inline void append_arrays(struct scratch *s)
{
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < 2; i++) {
        u32 start = s->record.used;
        s->record.counts[i] = append_array(s, s->call.arrays[i], i ? MAX_ENV_BYTES : MAX_ARGS_BYTES,
                                           i ? ENVIRONMENT_CUT : ARGUMENTS_CUT,
                                           i ? ENVIRONMENT_UNREAD : ARGUMENTS_UNREAD);
        s->record.lengths[SECTION_ARGUMENTS + i] = section_length(s, start);
    }
}

/* ---- the call ----------------------------------------------------------------------------- */

static __always_inline void append_path_argument(struct scratch *s, u64 path)
{
    struct record *r = &s->record;
    int n = bpf_probe_read_user_str(s->data, CHUNK, (void *)path);
    r->used = n > 0 ? n : 0;
    r->lengths[SECTION_PATH] = r->used;
    if (n < 0)
        r->bits |= PATH_UNREAD;
    if (n == CHUNK) {
        u8 next = 0;
        bpf_probe_read_user(&next, 1, (void *)(path + CHUNK - 1));
        if (next)
            r->bits |= PATH_CUT;
    }
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
    u64 page = strings & ~4095ULL;
    for (int i = 0; i < MAX_STACK_PAGES; i++) {
        u8 byte;
        if (bpf_probe_read_user(&byte, 1, (void *)(page + 4096)))
            break;
        page += 4096;
    }
    if (bpf_probe_read_user(s->data, 4096, (void *)page))
        return;
    s->record.bits |= NEW_IMAGE;
    s->record.used = 4096;
    s->record.lengths[SECTION_PATH] = 4096;
}

static __always_inline bool path_matches(struct scratch *s, struct capture *capture)
{
    for (u32 i = 0; i < MAX_CAPTURE_PATHS; i++) {
        if (i >= capture->paths)
            return false;
        u32 length = capture->path_length[i];
        for (u32 j = 0; j < CAPTURE_PATH_SIZE; j++) {
            if (j >= length)
                return true;
            if (s->data[j] != (u8)capture->path[i * CAPTURE_PATH_SIZE + j])
                break;
        }
    }
    return false;
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
    u64 *active = active_capture.lookup(&zero);
    u32 index = active && *active ? 1 : 0;
    return captures.lookup(&index);
}

/* Before: `s->call`, and return_value, dirfd, flags and bits of `s->record`. */
static __always_inline void write_record(struct scratch *s, u64 task)
{
    u32 cpu = bpf_get_smp_processor_id();
    struct counters *count = counters.lookup(&cpu);
    struct capture *capture = capture_in_force();
    if (!count || !capture)
        return;
    struct record *r = &s->record;
    u64 cred = kernel_u64(task + AT_task_struct_cred);
    bpf_probe_read_kernel(s->cred, sizeof(s->cred), (void *)(cred + START_cred));
    __builtin_memcpy(&r->uid, &s->cred[AT_cred_uid - START_cred], 8 * sizeof(u32));
    if (capture->uid_ranges && !uid_matches(r->uid, capture)) {
        count->suppressed++;
        count->seen++;
        return;
    }
    append_path_argument(s, s->call.path);
    /* What could not be read cannot be told to be unwanted. */
    if (capture->paths && !(r->bits & PATH_UNREAD) && !path_matches(s, capture)) {
        count->suppressed++;
        count->seen++;
        return;
    }
    if (r->bits & PATH_UNREAD)
        append_new_image_path(s, task);

    u64 ids = bpf_get_current_pid_tgid();
    r->timestamp = bpf_ktime_get_boot_ns();
    r->pid = ids >> 32;
    r->tid = ids;
    bpf_get_current_comm(r->comm, sizeof(r->comm));
    fill_caller(s, task);
    if (r->bits & NEW_IMAGE) {
        r->bits |= ARGUMENTS_UNREAD | ENVIRONMENT_UNREAD;
        r->counts[0] = r->counts[1] = UNKNOWN;
        r->lengths[SECTION_ARGUMENTS] = r->lengths[SECTION_ENVIRONMENT] = 0;
    } else {
        append_arrays(s);
    }
    r->task = task;
    u8 yes = 1;
    if (!searchers.lookup(&task) && searchers.update(&task, &yes)) {
        r->bits |= UNTRACKED;
        count->untracked++;
    }
    r->lost_before = count->lost - count->told;
    u64 size = sizeof(*r) + (u64)r->used;
    if (size > sizeof(*r) + DATA_SIZE)
        size = sizeof(*r) + DATA_SIZE;
    if (events.ringbuf_output(s, size, 0)) {
        count->lost++;
    } else {
        count->recorded++;
        count->told = count->lost;
    }
    count->seen++;
}

/* ---- hooks -------------------------------------------------------------------------------- */

struct sys_exit_context {
    u64 registers; /* struct pt_regs * */
    s64 return_value;
};

/*
 * Raw tracepoint sys_exit: at the end of every system call of every task, 32-bit ones too, also of
 * those that seccomp refused. On failure the registers still hold the arguments. The kernel has
 * read the path by now, and argv and envp as far as it needed them, so their pages are present.
 */
int on_sys_exit(struct sys_exit_context *ctx)
{
    s64 error = -ctx->return_value;
    if (error <= 0 || error > 4095 || (error >= 512 && error <= 516)) /* success, or it is restarted */
        return 0;
    u64 regs = ctx->registers;
    u32 number = kernel_u64(regs + AT_pt_regs_orig_ax);
    u32 bits = 0;
    if (number == NR_execve || number == NR_execveat) {
        bits = number == NR_execveat ? EXECVEAT : 0;
    } else if (number == NR_x32_execve || number == NR_x32_execveat) {
        bits = COMPAT | (number == NR_x32_execveat ? EXECVEAT : 0);
    } else if (number == NR_ia32_execve || number == NR_ia32_execveat) {
        u32 status = kernel_u32(bpf_get_current_task() + AT_task_struct_thread_info_status);
        if (!(status & TS_COMPAT)) /* the same numbers are munmap and close_range of 64-bit callers */
            return 0;
        bits = COMPAT | (number == NR_ia32_execveat ? EXECVEAT : 0);
    } else {
        return 0;
    }
    u32 cpu = bpf_get_smp_processor_id();
    struct scratch *s = scratches.lookup(&cpu);
    if (!s)
        return 0;
    bpf_probe_read_kernel(s->registers, sizeof(s->registers), (void *)(regs + START_registers));
    u64 arguments[5];
    if (number == NR_ia32_execve || number == NR_ia32_execveat) {
        arguments[0] = u32_in(s->registers, AT_pt_regs_bx - START_registers);
        arguments[1] = u32_in(s->registers, AT_pt_regs_cx - START_registers);
        arguments[2] = u32_in(s->registers, AT_pt_regs_dx - START_registers);
        arguments[3] = u32_in(s->registers, AT_pt_regs_si - START_registers);
        arguments[4] = u32_in(s->registers, AT_pt_regs_di - START_registers);
    } else {
        arguments[0] = u64_in(s->registers, AT_pt_regs_di - START_registers);
        arguments[1] = u64_in(s->registers, AT_pt_regs_si - START_registers);
        arguments[2] = u64_in(s->registers, AT_pt_regs_dx - START_registers);
        arguments[3] = u64_in(s->registers, AT_pt_regs_r10 - START_registers);
        arguments[4] = u64_in(s->registers, AT_pt_regs_r8 - START_registers);
    }
    u32 at = bits & EXECVEAT ? 1 : 0;
    s->call.path = arguments[at];
    s->call.arrays[0] = arguments[at + 1];
    s->call.arrays[1] = arguments[at + 2];
    s->call.pointer_size = bits & COMPAT ? 4 : 8;
    s->record.dirfd = arguments[0];
    s->record.flags = arguments[4];
    s->record.bits = bits;
    s->record.return_value = ctx->return_value;
    write_record(s, bpf_get_current_task());
    return 0;
}

/* Tells of a task that had failed to exec what became of it; of others, nothing. */
static __always_inline void end_search(u64 task, u64 filename, u32 bits)
{
    if (!searchers.lookup(&task))
        return;
    searchers.delete(&task);
    u32 cpu = bpf_get_smp_processor_id();
    struct scratch *s = scratches.lookup(&cpu);
    struct counters *count = counters.lookup(&cpu);
    if (!s || !count)
        return;
    struct record *r = &s->record;
    __builtin_memset(r, 0, sizeof(*r));
    r->timestamp = bpf_ktime_get_boot_ns();
    r->task = task;
    r->tid = bpf_get_current_pid_tgid();
    r->bits = bits;
    if (filename) {
        int n = bpf_probe_read_kernel_str(s->data, CHUNK, (void *)filename);
        r->used = r->lengths[SECTION_PATH] = n > 0 ? n : 0;
    }
    u64 size = sizeof(*r) + (u64)r->used;
    if (size > sizeof(*r) + CHUNK)
        size = sizeof(*r) + CHUNK;
    if (events.ringbuf_output(s, size, 0))
        count->untold++;
}

struct exec_context {
    u64 task;
    u64 old_pid;
    u64 bprm;
};

/* Raw tracepoint sched_process_exec: an exec has succeeded; the program's path is still at hand. */
int on_exec(struct exec_context *ctx)
{
    u64 task = ctx->task;
    if (searchers.lookup(&task))
        end_search(task, kernel_u64(ctx->bprm + AT_linux_binprm_filename), FOUND);
    return 0;
}

struct exit_context {
    u64 task;
};

/* Raw tracepoint sched_process_exit: a task ends. Its address will be another's. */
int on_task_exit(struct exit_context *ctx)
{
    end_search(ctx->task, 0, TASK_ENDED);
    return 0;
}
