// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The sections behind a record's header, and the paths among them. */

/*
 * `used` lives in map memory and is checked at each use: if it were kept in a register, the verifier would
 * follow every value that it can have.
 */
static __always_inline u64 place_in_data(struct scratch *s)
{
    u64 at = s->record.used;
    asm volatile("" : "+r"(at)); /* or the compiler checks one copy of it and uses another */
    return at;
}

/* NAME_MAX, and the NUL. */
#define NAME_SIZE 256

static __always_inline int append_kernel_string(struct scratch *s, u64 address)
{
    u64 at = place_in_data(s);
    if (at > DATA_SIZE - CHUNK)
        return -1;
    int n = read_kernel_string(&s->data[at], NAME_SIZE, (void *)address);
    if (n > 0)
        s->record.used = at + n;
    return n;
}

static __always_inline u32 section_length(struct scratch *s, u32 start)
{
    return s->record.used - start;
}

/* The members of struct dentry that a path needs lie close together: one read. */
struct dentry_part {
    u8 bytes[SPAN_dentry];
};

/* So do those of struct mount. */
struct mount_part {
    u8 bytes[SPAN_mount];
};

/* Append the components from `place` up to `root`, leaf first, each with its NUL, in the order of d_path. */
static __always_inline u8 append_path(struct scratch *s, struct place place, struct place root)
{
    u32 start = s->record.used;
    u8 end = UNFINISHED;
    struct mount_part mount = {};
    u64 mount_read = 0;
    for (int i = 0; i < MAX_COMPONENTS; i++) {
        if (section_length(s, start) >= MAX_PATH_BYTES)
            break;
        if (place.dentry == root.dentry && place.mount == root.mount) {
            end = AT_ROOT;
            break;
        }
        u64 address = place.mount - AT_mount_mnt;
        if (address != mount_read && read_kernel(&mount, sizeof(mount), (void *)(address + START_mount)))
            break;
        mount_read = address;
        if (place.dentry == u64_in(mount.bytes, AT_mount_mnt_mnt_root - START_mount)) {
            u64 above = u64_in(mount.bytes, AT_mount_mnt_parent - START_mount);
            if (above == address) {
                end = AT_TOP;
                break;
            }
            place.dentry = u64_in(mount.bytes, AT_mount_mnt_mountpoint - START_mount);
            place.mount = above + AT_mount_mnt;
            continue;
        }
        struct dentry_part part;
        if (read_kernel(&part, sizeof(part), (void *)(place.dentry + START_dentry)))
            break;
        u64 parent = u64_in(part.bytes, AT_dentry_d_parent - START_dentry);
        u64 name = u64_in(part.bytes, AT_dentry_d_name_name - START_dentry);
        if (place.dentry == parent) { /* a pipe, a memfd and the like: a name at most */
            append_kernel_string(s, name);
            end = OF_NO_TREE;
            break;
        }
        if (append_kernel_string(s, name) < 0)
            break;
        place.dentry = parent;
    }
    return end;
}

/* One loop for all paths: inlined for each of them, the walk would take twice as long to compile. */
static __always_inline void append_paths(struct scratch *s)
{
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < WALKS; i++) {
        u32 start = s->record.used;
        u8 end = NO_FILE;
        if (s->walks[i].place.dentry)
            end = append_path(s, s->walks[i].place, s->walks[i].root);
        s->record.ends[CWD_END + i] = end;
        s->record.lengths[SECTION_CWD + i] = section_length(s, start);
    }
}

/* Append the names from a cgroup's kernfs node up to the root of its hierarchy. */
static __always_inline void append_cgroup(struct scratch *s, u64 node)
{
    u32 start = s->record.used;
    u8 end = UNFINISHED;
    for (int i = 0; i < MAX_CGROUP_DEPTH; i++) {
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
    s->record.ends[CGROUP_END] = end;
}
