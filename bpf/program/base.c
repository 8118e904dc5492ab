// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * What all parts share: how memory is read, the maps, the scratch buffers and the counters.
 *
 * The program writes one record for each exec that fails. bpf/program/text.py joins the parts (`PARTS`) and
 * puts in front of them the declarations of bpf/program/layout.py, the offsets of bpf/program/members.py
 * (AT_<struct>_<member>, in bytes), the sizes from the settings, and the features of the hook plan:
 *
 *   JOINED       hooks see the exec's struct linux_binprm, and its contents are joined with the failure
 *   FEXIT        these hooks are BPF trampolines; otherwise they are kprobes, and sys_exit sees the failure
 *   PERF_BUFFER  there is no ring buffer, and none of the newer helpers: Linux before 5.8
 *   COPIES       the kernel's own copy of argv and envp can be read
 *   ALL_FAILURES calls that never reach the exec functions are recorded, too
 *   TYPED        the verifier knows the types behind the members of the current task
 *   FINDS_MEMORY the verifier lets a program find the vma of a user address
 *
 * Kernel objects are addressed by number (u64), so nothing depends on kernel headers and bcc rewrites no
 * dereference. They are read with explicit helper calls or, where TYPED, directly as far as types are known.
 */

#if PERF_BUFFER
BPF_PERF_OUTPUT(events);
#define READ_KERNEL BPF_FUNC_probe_read
#define READ_USER BPF_FUNC_probe_read
#define READ_KERNEL_STRING BPF_FUNC_probe_read_str
#define READ_USER_STRING BPF_FUNC_probe_read_str
#define record_clock bpf_ktime_get_ns /* user space adds the offset of the boot clock */
#else
BPF_RINGBUF_OUTPUT(events, RING_PAGES);
#define READ_KERNEL BPF_FUNC_probe_read_kernel
#define READ_USER BPF_FUNC_probe_read_user
#define READ_KERNEL_STRING BPF_FUNC_probe_read_kernel_str
#define READ_USER_STRING BPF_FUNC_probe_read_user_str
#define record_clock bpf_ktime_get_boot_ns
#endif /* PERF_BUFFER */

/*
 * Under bcc's own names, each helper makes bcc look up the kernel's symbols, which takes a quarter of a
 * second.
 */
static long (*read_kernel)(void *to, u32 size, const void *from) = (void *)READ_KERNEL;
static long (*read_user)(void *to, u32 size, const void *from) = (void *)READ_USER;
static long (*read_kernel_string)(void *to, u32 size, const void *from) = (void *)READ_KERNEL_STRING;
static long (*read_user_string)(void *to, u32 size, const void *from) = (void *)READ_USER_STRING;
static long (*read_any)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read;
static long (*read_any_string)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_str;

/* User space maps this array where it can: reading it then needs no system call and no privilege. */
BPF_F_TABLE("array", u32, struct counters, counters, CPUS, SHARED_MEMORY);

/* `controls` holds the index of the capture filter in force, so that a new filter takes effect as a whole. */
BPF_F_TABLE("array", u32, struct capture, captures, 2, SHARED_MEMORY);
BPF_F_TABLE("array", u32, u64, controls, 1, SHARED_MEMORY);

/* Indices of `arrays` and `limits`, and of the record's `counts` and `too_long`. */
#define ARGV 0
#define ENVP 1

/* The arguments of the exec. */
struct call {
    u64 path;
    u64 arrays[2]; /* argv and envp */
    u32 pointer_size;
    u32 limits[2]; /* bytes of their strings to read */
    u64 by_kernel; /* all bits set: path and strings are in kernel memory; 0: in the caller's */
};

struct place {
    u64 dentry;
    u64 mount; /* struct vfsmount, not struct mount */
};

/* A path to be walked up to `root` or, if that is empty, up to the topmost directory. */
struct walk {
    struct place place;
    struct place root;
};

/* The walks of one loop, in the order of their sections and of the record's `ends`: cwd, root, stdin. */
#define WALKS 3

/* Identity of the caller whose facts are at the beginning of `data`, when they expire, and where they end. */
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

/* Pointers in a block, and room to read the last of twice as many 32-bit ones as if it had 64 bits. */
#define BLOCK_POINTERS (BLOCK / 8 + 1)

struct scratch {
    /* Must come first: a record is written from here on. */
    struct record record;
    u8 data[DATA_SIZE];
    struct call call; /* in map memory, so that the verifier does not follow its values */
    struct walk walks[WALKS];
    struct known known;
    u64 identity[KNOWN_WORDS]; /* of the caller */
    s64 path_length; /* of `path`, with its NUL; negative if it could not be read */
    union reading path; /* the kernel's copy or, without one, what the caller's memory holds now */
    union reading before; /* what that memory held when the call began */
    u32 ticks; /* duration of the call, including the tick in which it began; 0: not known */
    u64 group_info;
    u32 groups; /* the number of supplementary groups */
    /* Copies of parts of kernel structures: a read costs 45 ns, plus one for each 8 bytes. */
    u8 registers[SPAN_registers];
    u8 task[SPAN_task];
    u8 parent[SPAN_parent];
    u8 cred[SPAN_cred];
    u8 fs[SPAN_fs];
    u8 file[SPAN_file];
    u8 inode[SPAN_inode];
    u64 pointers[BLOCK_POINTERS];
    u64 block;
    u64 block_mask;
    u32 block_size;
    u64 string;
    u32 elements;
    u64 claims;
};

/* One for each CPU and some to spare, in an ordinary array: a per-CPU array holds at most 32 KiB. */
BPF_ARRAY(scratches, struct scratch, CPUS + SPARE_SCRATCHES);

#define CLAIM_ATTEMPTS 3

/*
 * Return a scratch that nobody else uses until `release`, or NULL if all that were tried are taken. A program
 * on a trampoline can be preempted, and another one that then runs on the same CPU must not write to its
 * scratch. The only one to have claimed a scratch owns it.
 */
static __always_inline struct scratch *claim(void)
{
    u32 cpu = bpf_get_smp_processor_id();
    u32 index = cpu;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < CLAIM_ATTEMPTS; i++) {
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

/* A member of `struct counters`, for `count`. */
#define COUNTER(name) __builtin_offsetof(struct counters, name)

/* Add one to a counter; `is_lost` says that it counts a failed exec of which no record is written. */
static __always_inline void count(u32 counter, bool is_lost)
{
    struct counters *here = counters_here();
    if (!here)
        return;
    lock_xadd((u64 *)((u8 *)here + counter), 1);
    if (!is_lost)
        return;
    lock_xadd(&here->lost, 1);
    lock_xadd(&here->seen, 1);
}

/* Return a hash of `bits` bits: the top of the value times 2^64 divided by the golden ratio. */
static __always_inline u32 hash_of(u64 value, u32 bits)
{
    return (value * GOLDEN_RATIO_64) >> (64 - bits);
}
