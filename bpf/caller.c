// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Who made the exec, and where: facts of the current task. */

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

static __always_inline struct place root_of_caller(struct scratch *s)
{
    return place_in(s->fs, AT_fs_struct_root - START_fs);
}

/* What nothing that the task itself does can change: its pid namespace, when its process began. */
static __always_inline void fill_birth(struct scratch *s)
{
    struct record *r = &s->record;
    u64 pid = u64_in(s->task, AT_task_struct_thread_pid - START_task);
    u64 level = kernel_u32(pid + AT_pid_level);
    u64 numbers = pid + AT_pid_numbers + level * SIZE_upid;
    r->pid_ns = kernel_u32(kernel_u64(numbers + AT_upid_ns) + AT_pid_namespace_ns_inum);
    u64 leader = u64_in(s->task, AT_task_struct_group_leader - START_task);
    r->started = kernel_u64(leader + AT_task_struct_start_boottime);
}

/*
 * Most failing execs are one of a row, as in a PATH search or a crash loop. Cgroup and ancestors of the same
 * task are then still there from its last one, in header and data. An ancestor may get another name
 * meanwhile, so they are good for KNOWN_NS. All that the task can change by itself is read each time.
 */
static __always_inline void append_origin(struct scratch *s, u64 task)
{
    struct record *r = &s->record;
    u64 set = kernel_u64(task + AT_task_struct_cgroups);
    u64 cgroup = kernel_u64(kernel_u64(set + AT_css_set_dfl_cgrp) + AT_cgroup_kn);
    u64 identity[KNOWN_WORDS] = {
        task,
        bpf_get_current_pid_tgid(),
        u64_in(s->task, AT_task_struct_thread_pid - START_task),
        u64_in(s->task, AT_task_struct_real_parent - START_task),
        cgroup,
    };
    u64 differs = 0;
    for (int i = 0; i < KNOWN_WORDS; i++)
        differs |= s->known.identity[i] ^ identity[i];
    if (!differs && r->timestamp < s->known.until) {
        r->used = s->known.used;
        return;
    }
    r->used = 0;
    fill_birth(s);
    append_cgroup(s, cgroup);
    append_ancestors(s);
    __builtin_memcpy(s->known.identity, identity, sizeof(identity));
    s->known.until = r->timestamp + KNOWN_NS;
    s->known.used = r->used;
}

/* Whoever writes into header or data what is no failed exec's must call this. */
static __always_inline void forget_caller(struct scratch *s)
{
    s->known.until = 0;
}

/* Before: the record's timestamp. What it tells of the caller comes first in `data`. */
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
    r->pending_signals = u64_in(s->task, AT_task_struct_pending_signal - START_task);
    append_origin(s, task);

    u64 fs = u64_in(s->task, AT_task_struct_fs - START_task);
    bpf_probe_read_kernel(s->fs, sizeof(s->fs), (void *)(fs + START_fs));
    struct place root = root_of_caller(s);
    struct place cwd = place_in(s->fs, AT_fs_struct_pwd - START_fs);
    struct walk walks[3] = {{cwd, root}, {root, {}}, {fill_stdin(s), root}};
    if (!kernel_u32(kernel_u64(cwd.dentry + AT_dentry_d_inode) + AT_inode_i_nlink))
        r->bits |= CWD_DELETED;
    __builtin_memcpy(s->walks, walks, sizeof(walks));
    append_paths(s);

    r->capabilities = u64_in(s->cred, AT_cred_cap_effective - START_cred);
    append_groups(s);
}
