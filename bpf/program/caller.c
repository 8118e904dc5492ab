// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Who called exec, and where: facts about the current task. */

static __always_inline void append_ancestors(struct scratch *s, u64 me)
{
    u32 start = s->record.used;
    u64 parent = of_task(me, real_parent);
    for (int i = 0; i < MAX_ANCESTORS; i++) {
        u64 at = place_in_data(s);
        if (read_kernel(s->parent, sizeof(s->parent), (void *)(parent + START_parent)))
            break;
        u32 pid = u32_in(s->parent, AT_task_struct_tgid - START_parent);
        if (!pid || at > DATA_SIZE - CHUNK)
            break;
        struct ancestor *ancestor = (struct ancestor *)&s->data[at];
        ancestor->pid = pid;
        u64 leader = u64_in(s->parent, AT_task_struct_group_leader - START_parent);
        read_kernel(ancestor->comm, COMM_SIZE, (void *)(leader + AT_task_struct_comm));
        s->record.used = at + sizeof(*ancestor);
        parent = u64_in(s->parent, AT_task_struct_real_parent - START_parent);
    }
    s->record.lengths[SECTION_ANCESTORS] = section_length(s, start);
}

static __always_inline void append_groups(struct scratch *s)
{
    u32 count = s->groups;
    u64 at = place_in_data(s);
    s->record.lengths[SECTION_GROUPS] = 0;
    if (count > MAX_GROUPS) {
        s->record.bits |= GROUPS_CUT;
        return;
    }
    if (!count || at > DATA_SIZE - CHUNK)
        return;
    if (read_kernel(&s->data[at], count * sizeof(u32), (void *)(s->group_info + AT_group_info_gid))) {
        s->record.bits |= GROUPS_CUT;
        return;
    }
    s->record.used = at + count * sizeof(u32);
    s->record.lengths[SECTION_GROUPS] = count * sizeof(u32);
}

static __always_inline struct place fill_stdin(struct scratch *s, u64 me)
{
    struct place none = {};
    struct record *r = &s->record;
    r->stdin_mode = 0;
    r->stdin_inode = 0;
    u64 table = member(of_task(me, files), AT_files_struct_fdt);
    u64 file = kernel_u64(member(table, AT_fdtable_fd));
    if (!file || read_kernel(s->file, sizeof(s->file), (void *)(file + START_file)))
        return none;
    u64 inode = u64_in(s->file, AT_file_f_inode - START_file);
    if (read_kernel(s->inode, sizeof(s->inode), (void *)(inode + START_inode)))
        return none;
    r->stdin_mode = u32_in(s->inode, AT_inode_i_mode - START_inode);
    r->stdin_inode = u64_in(s->inode, AT_inode_i_ino - START_inode);
    if (!u32_in(s->inode, AT_inode_i_nlink - START_inode))
        r->bits |= STDIN_DELETED;
    return place_in(s->file, AT_file_f_path - START_file);
}

static __always_inline struct place root_of_caller(struct scratch *s)
{
    return place_in(s->fs, AT_fs_struct_root - START_fs);
}

/* What the task itself cannot change: its pid namespace, and when its process started. */
static __always_inline void fill_birth(struct scratch *s, u64 me)
{
    struct record *r = &s->record;
    u64 pid = of_task(me, thread_pid);
    u64 level = kernel_u32(pid + AT_pid_level);
    u64 numbers = pid + AT_pid_numbers + level * SIZE_upid;
    r->pid_ns = kernel_u32(kernel_u64(numbers + AT_upid_ns) + AT_pid_namespace_ns_inum);
    u64 leader = of_task(me, group_leader);
    r->started = kernel_u64(leader + AT_task_struct_start_boottime);
}

/*
 * Most failing execs come in a row, as in a PATH search or a crash loop. The task's cgroup and ancestors are
 * then still in header and data from its last one. An ancestor can be renamed in the meantime, so they expire
 * after KNOWN_NS. Everything that the task can change by itself is read each time.
 */
static __always_inline void append_origin(struct scratch *s, u64 me, u64 task)
{
    struct record *r = &s->record;
    u64 *identity = s->identity;
    identity[0] = task;
    identity[1] = bpf_get_current_pid_tgid();
    identity[2] = of_task(me, thread_pid);
    identity[3] = of_task(me, real_parent);
    identity[4] = member(member(of_task(me, cgroups), AT_css_set_dfl_cgrp), AT_cgroup_kn);
    asm volatile("" : : : "memory"); /* read back as numbers: the verifier forbids xor of addresses */
    u64 differs = 0;
    for (int i = 0; i < KNOWN_WORDS; i++)
        differs |= s->known.identity[i] ^ identity[i];
    if (!differs && r->timestamp < s->known.until) {
        r->used = s->known.used;
        return;
    }
    r->used = 0;
    fill_birth(s, me);
    append_cgroup(s, identity[4]);
    append_ancestors(s, me);
    __builtin_memcpy(s->known.identity, identity, sizeof(s->identity));
    s->known.until = r->timestamp + KNOWN_NS;
    s->known.used = r->used;
}

/* Call this after writing anything but a failed exec into header or data. */
static __always_inline void forget_caller(struct scratch *s)
{
    s->known.until = 0;
}

/* Needs the record's timestamp. The facts about the caller come first in `data`. */
static __always_inline void fill_caller(struct scratch *s, u64 task)
{
    struct record *r = &s->record;
    u64 me = caller_of(s, task);
    u64 tty = member(of_task(me, signal), AT_signal_struct_tty);
    if (!tty || read_kernel_string(r->tty, TTY_SIZE, (void *)(tty + AT_tty_struct_name)) < 0)
        r->tty[0] = 0;
    u64 mount_ns = member(of_task(me, nsproxy), AT_nsproxy_mnt_ns);
    r->mount_ns = member_u32(mount_ns, AT_mnt_namespace_ns_inum);
    /* Only the first user namespace has no parent. */
    if (member(member(mount_ns, AT_mnt_namespace_user_ns), AT_user_namespace_parent))
        r->bits |= FOREIGN_MOUNT_NS;
    r->pending_signals = of_task(me, pending_signal);
    append_origin(s, me, task);

    u64 fs = of_task(me, fs);
    u64 directory = member(member(fs, AT_fs_struct_pwd + AT_path_dentry), AT_dentry_d_inode);
    if (!member_u32(directory, AT_inode_i_nlink))
        r->bits |= CWD_DELETED;
    read_kernel(s->fs, sizeof(s->fs), (void *)(fs + START_fs));
    struct place root = root_of_caller(s);
    struct place cwd = place_in(s->fs, AT_fs_struct_pwd - START_fs);
    struct walk walks[WALKS] = {{cwd, root}, {root, {}}, {fill_stdin(s, me), root}};
    __builtin_memcpy(s->walks, walks, sizeof(walks));
    append_paths(s);
    append_groups(s);
}
