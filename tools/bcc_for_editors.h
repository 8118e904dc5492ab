// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * What bcc gives the BPF program, as an editor's parser needs it: declarations of the maps' methods and of the
 * helpers. Only `make editor` uses this; the program itself is compiled with bcc's own headers.
 */
#pragma once

#define BPF_MAP(key_type, value_type, name)                                                                  \
    static struct {                                                                                          \
        value_type *(*lookup)(key_type *);                                                                   \
        int (*update)(key_type *, value_type *);                                                             \
        int (*delete)(key_type *);                                                                           \
    } name
#define BPF_TABLE(kind, key_type, value_type, name, size) BPF_MAP(key_type, value_type, name)
#define BPF_F_TABLE(kind, key_type, value_type, name, size, flags) BPF_MAP(key_type, value_type, name)
#define BPF_HASH(name, key_type, value_type, size) BPF_MAP(key_type, value_type, name)
#define BPF_ARRAY(name, value_type, size) BPF_MAP(u32, value_type, name)
#define BPF_PROG_ARRAY(name, size)                                                                           \
    static struct {                                                                                          \
        void (*call)(void *ctx, int index);                                                                  \
    } name
#define BPF_PERF_OUTPUT(name)                                                                                \
    static struct {                                                                                          \
        int (*perf_submit)(void *ctx, void *data, u32 size);                                                 \
    } name
#define BPF_RINGBUF_OUTPUT(name, pages)                                                                      \
    static struct {                                                                                          \
        int (*ringbuf_output)(void *data, u64 size, u64 flags);                                              \
    } name

#define lock_xadd(number, more) ((void)__sync_fetch_and_add(number, more))

u64 bpf_get_current_task(void);
u32 bpf_get_smp_processor_id(void);
u64 bpf_get_current_pid_tgid(void);
u64 bpf_get_current_uid_gid(void);
int bpf_get_current_comm(void *comm, u32 size);
u64 bpf_ktime_get_ns(void);
u64 bpf_ktime_get_boot_ns(void);
u64 bpf_pseudo_fd(u64 kind, u64 fd);

/* include/uapi/linux/bpf.h */
enum {
    BPF_FUNC_probe_read = 4,
    BPF_FUNC_probe_read_str = 45,
    BPF_FUNC_probe_read_user = 112,
    BPF_FUNC_probe_read_kernel = 113,
    BPF_FUNC_probe_read_user_str = 114,
    BPF_FUNC_probe_read_kernel_str = 115,
    BPF_FUNC_jiffies64 = 118,
    BPF_FUNC_ringbuf_query = 134,
};
enum { BPF_RB_CONS_POS = 2, BPF_RB_PROD_POS = 3 };
#define BPF_RINGBUF_HDR_SZ 8
#define BPF_PSEUDO_MAP_FD 1
