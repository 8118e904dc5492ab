// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Writes one record for each exec that fails. This is the ground of it: maps, and reading the kernel.
 *
 * bpf/program/text.py puts the parts together (`PARTS`) and in front of them the declarations of
 * bpf/program/layout.py, the offsets of bpf/program/btf.py (AT_<struct>_<member>, in bytes), the sizes that the
 * settings ask for, and what the plan is made of:
 *
 *   JOINED       hooks see the exec's struct linux_binprm, and what it held is joined with the failure
 *   FEXIT        they run on BPF trampolines; else they are kprobes, and the failure is seen at sys_exit
 *   PERF_BUFFER  there is no ring buffer, and none of the newer helpers: Linux before 5.8
 *   COPIES       the kernel's own copy of argv and envp can be read
 *   ALL_FAILURES calls that never reached the exec functions are recorded, too
 *   TYPED        the verifier knows the types of what the current task's members lead to
 *   FINDS_MEMORY it lets a program ask what an address of the caller's memory is mapped to
 *
 * Kernel objects are addressed by number (u64): nothing here depends on kernel headers, and bcc rewrites
 * nothing. They are read with explicit helper calls, or where TYPED, as far as the types are known, directly.
 */

#if PERF_BUFFER
BPF_PERF_OUTPUT(events);
#define READ_KERNEL BPF_FUNC_probe_read
#define READ_USER BPF_FUNC_probe_read
#define READ_KERNEL_STRING BPF_FUNC_probe_read_str
#define READ_USER_STRING BPF_FUNC_probe_read_str
#define record_clock bpf_ktime_get_ns /* user space adds what the boot clock is ahead */
#else
BPF_RINGBUF_OUTPUT(events, RING_PAGES);
#define READ_KERNEL BPF_FUNC_probe_read_kernel
#define READ_USER BPF_FUNC_probe_read_user
#define READ_KERNEL_STRING BPF_FUNC_probe_read_kernel_str
#define READ_USER_STRING BPF_FUNC_probe_read_user_str
#define record_clock bpf_ktime_get_boot_ns
#endif

/* Under bcc's own names each of them makes it look the kernel's symbols up, which takes a quarter of a second. */
static long (*read_kernel)(void *to, u32 size, const void *from) = (void *)READ_KERNEL;
static long (*read_user)(void *to, u32 size, const void *from) = (void *)READ_USER;
static long (*read_kernel_string)(void *to, u32 size, const void *from) = (void *)READ_KERNEL_STRING;
static long (*read_user_string)(void *to, u32 size, const void *from) = (void *)READ_USER_STRING;
static long (*read_any)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read;
static long (*read_any_string)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_str;

/* Read by user space through mmap where that is possible: that needs neither a call nor a privilege. */
BPF_F_TABLE("array", u32, struct counters, counters, CPUS, SHARED_MEMORY);

/* Two, of which `controls` has the index of the one in force, so that a change is seen whole or not at all. */
BPF_F_TABLE("array", u32, struct capture, captures, 2, SHARED_MEMORY);
BPF_F_TABLE("array", u32, u64, controls, 1, SHARED_MEMORY);

/* What the caller asked for. */
struct call {
    u64 path;
    u64 arrays[2]; /* argv, envp */
    u32 pointer_size;
    u32 limits[2]; /* bytes of them to read */
    u64 by_kernel; /* all bits: path and strings are the kernel's own memory; none: they are the caller's */
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

#if !PERF_BUFFER
static u64 (*query_ring)(void *ring, u64 what) = (void *)BPF_FUNC_ringbuf_query;

/* What of a user's may wait in the ring: bytes written before and after a position, and where the last ended. */
struct share {
    u64 turn;
    u64 before;
    u64 after;
    u64 end;
};

BPF_TABLE("lru_hash", u32, struct share, shares, MAX_USERS);
#endif

/* By what a caller is known again, until when, and where in `data` what was told of it ends. */
struct known {
    u64 identity[KNOWN_WORDS];
    u64 until;
    u64 used;
};

/* A path, with room to pad it. */
union reading {
    u8 bytes[CHUNK + STRIDE];
    u64 words[(CHUNK + STRIDE) / 8];
};

struct scratch {
    /* Must come first: a record is written from here on. */
    struct record record;
    u8 data[DATA_SIZE];
    struct call call; /* in map memory: the verifier need not tell callers apart */
    struct walk walks[3]; /* in the order of their sections: cwd, root, stdin */
    struct known known;
    u64 identity[KNOWN_WORDS]; /* of the caller */
    s64 path_length; /* of `path`, with its NUL; negative where it could not be read */
    union reading path; /* the kernel's copy or, where there is none, what the caller's memory says now */
    union reading before; /* what it said when the call began */
    u32 ticks; /* that the call took, the one in which it began included; 0: not known */
    u64 group_info;
    u32 groups; /* how many */
    /* Copies of parts of kernel structures: a read costs 45 ns, and one more for each 8 bytes. */
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
    u64 claims;
};

/* One for each CPU and some to spare, in an ordinary array: a per-CPU array holds at most 32 KiB. */
BPF_ARRAY(scratches, struct scratch, CPUS + SPARE_SCRATCHES);

/*
 * A scratch of one's own until `release`; NULL where all that were tried are taken. Programs on
 * trampolines can be preempted, and another that runs on the same CPU meanwhile must not write there.
 * Whoever finds itself to be the only one that has claimed it has it.
 */
static __always_inline struct scratch *claim(void)
{
    u32 cpu = bpf_get_smp_processor_id();
    u32 index = cpu;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < 3; i++) {
        struct scratch *s = scratches.lookup(&index);
        if (!s)
            return NULL;
        lock_xadd(&s->claims, 1);
        if (*(volatile u64 *)&s->claims == 1)
            return s;
        lock_xadd(&s->claims, -1);
        index = CPUS + (cpu + i) % SPARE_SCRATCHES;
    }
    return NULL;
}

static __always_inline void release(struct scratch *s)
{
    lock_xadd(&s->claims, -1);
}

static __always_inline struct counters *counters_here(void)
{
    u32 cpu = bpf_get_smp_processor_id();
    return counters.lookup(&cpu);
}

/* ---- users ---- */

/*
 * The user whom an id stands for. A user may run as each of their subordinate ids (subuid(5)), which
 * useradd hands out in blocks of that size, one after the other.
 */
static __always_inline u32 user_of(u32 uid)
{
    if (uid < FIRST_SUBORDINATE || uid >= AFTER_SUBORDINATE)
        return uid;
    return uid - (uid - FIRST_SUBORDINATE) % SUBORDINATES;
}

/*
 * How many entries of the tables that are kept from one hook to another are a user's: each has a share, so that
 * nobody can take others their room, by holding up many execs for instance. Users have their places by the hash
 * of their id, and those who meet in a place have one share.
 */
struct holding {
    u32 execs;
    u32 copies;
    u32 searches;
    u32 padding;
};

BPF_ARRAY(holdings, struct holding, 1 << HOLDING_BITS);

/* A number of so many bits: the value times 2^64 by the golden ratio, from the top. */
static __always_inline u32 hash_of(u64 value, u32 bits)
{
    return (value * 0x9e3779b97f4a7c15ULL) >> (64 - bits);
}

/* The place of the current task's user. */
static __always_inline u32 holder_here(void)
{
    return hash_of(user_of(bpf_get_current_uid_gid()), HOLDING_BITS);
}

static __always_inline struct holding *holding_of(u32 holder)
{
    return holdings.lookup(&holder);
}

/* ---- reading the kernel ------------------------------------------------------------------- */

static __always_inline u64 kernel_u64(u64 address)
{
    u64 value = 0;
    read_kernel(&value, sizeof(value), (void *)address);
    return value;
}

static __always_inline u32 kernel_u32(u64 address)
{
    u32 value = 0;
    read_kernel(&value, sizeof(value), (void *)address);
    return value;
}

/*
 * Where the verifier knows the types (TYPED), the members that pointers lead to from the current task are
 * loaded as the kernel itself would, in a nanosecond instead of 45. It knows an address only as long as it
 * stays in a register, and demands that NULL is ruled out. Else task and cred are read in one piece each.
 */
#if TYPED
static u64 (*bpf_get_current_task_typed)(void) = (void *)158; /* bpf_get_current_task_btf */

static __always_inline u64 member(u64 address, u32 offset)
{
    return address ? *(volatile u64 *)(address + offset) : 0;
}

static __always_inline u32 member_u32(u64 address, u32 offset)
{
    return address ? *(volatile u32 *)(address + offset) : 0;
}

#define IN_TASK(name) AT_task_struct_##name
#define IN_CRED(name) AT_cred_##name
#else
static __always_inline u64 member(u64 address, u32 offset)
{
    return kernel_u64(address + offset);
}

static __always_inline u32 member_u32(u64 address, u32 offset)
{
    return kernel_u32(address + offset);
}

#define IN_TASK(name) (AT_task_struct_##name - START_task)
#define IN_CRED(name) (AT_cred_##name - START_cred)
#endif
#define of_task(me, name) (*(volatile u64 *)((me) + IN_TASK(name)))

static __always_inline u64 u64_in(const u8 *part, u32 offset)
{
    return *(const u64 *)&part[offset];
}

static __always_inline u32 u32_in(const u8 *part, u32 offset)
{
    return *(const u32 *)&part[offset];
}

/* The current task, for `of_task`; `task` is its address. */
static __always_inline u64 caller_of(struct scratch *s, u64 task)
{
#if TYPED
    return bpf_get_current_task_typed();
#else
    read_kernel(s->task, sizeof(s->task), (void *)(task + START_task));
    return (u64)s->task;
#endif
}

/* Its credentials, for IN_CRED. */
static __always_inline u64 cred_of_caller(struct scratch *s, u64 task)
{
#if TYPED
    return of_task(bpf_get_current_task_typed(), cred);
#else
    u64 cred = kernel_u64(task + AT_task_struct_cred);
    read_kernel(s->cred, sizeof(s->cred), (void *)(cred + START_cred));
    return (u64)s->cred;
#endif
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
    int n = read_kernel_string(&s->data[at], 256, (void *)address);
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

/* Likewise of struct mount. */
struct mount_part {
    u8 bytes[SPAN_mount];
};

/* The components from `place` up to `root`, leaf first, each with its NUL, as d_path would walk. */
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
        if (address != mount_read &&
            read_kernel(&mount, sizeof(mount), (void *)(address + START_mount)))
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
        if (place.dentry == parent) { /* pipe, memfd, ...: a name at most */
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

/* One loop for all paths: inlined for each, it would take twice as long to compile. */
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

static __always_inline void append_cgroup(struct scratch *s, u64 node)
{
    u32 start = s->record.used;
    u8 end = UNFINISHED;
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
