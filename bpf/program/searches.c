// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * PATH searches. A task whose last exec failed may be searching: its next success, or its end, ends the
 * search, and a record says so. Every exec that succeeds looks at its task's slot in `kept_paths` in any
 * case, so the number of searching tasks with that slot is counted there: nearly always it is zero, and
 * nothing else is looked up.
 */

/* The value is the user whose share has the entry. */
BPF_HASH(searchers, u64, u32, MAX_SEARCHERS);

static __always_inline void count_searchers(u64 task, s32 more)
{
    u32 slot = hash_of(task, KEPT_BITS);
    struct kept_path *kept = kept_paths.lookup(&slot);
    if (kept)
        lock_xadd(&kept->searchers, more);
}

/* Return false if the table, or this user's share of it, is full. */
static __always_inline bool follow_search(u64 task)
{
    if (searchers.lookup(&task))
        return true;
    u32 holder = holder_here();
    struct holding *holding = holding_of(holder);
    if (!holding || *(volatile u32 *)&holding->searches >= MAX_SEARCHERS / SHARE_OF_TABLE ||
        searchers.update(&task, &holder))
        return false;
    lock_xadd(&holding->searches, 1);
    count_searchers(task, 1);
    return true;
}

static __always_inline bool is_searching(u64 task)
{
    u32 slot = hash_of(task, KEPT_BITS);
    struct kept_path *kept = kept_paths.lookup(&slot);
    return kept && *(volatile u32 *)&kept->searchers && searchers.lookup(&task);
}

static __always_inline void leave_search(u64 task)
{
    u32 *found = searchers.lookup(&task);
    if (!found)
        return;
    u32 holder = *found;
    if (searchers.delete(&task))
        return;
    count_searchers(task, -1);
    struct holding *holding = holding_of(holder);
    if (holding)
        lock_xadd(&holding->searches, -1);
}

/* If the task was searching, write a record of its end: an exec of `filename`, or the end of the task (0). */
static __always_inline void end_search(void *ctx, u64 task, u64 filename)
{
    if (!is_searching(task))
        return;
    leave_search(task);
    struct counters *here = counters_here();
    if (!here)
        return;
    u32 uid = bpf_get_current_uid_gid();
    struct scratch *s = exceeds_share(uid) ? NULL : claim();
    if (!s) {
        lock_xadd(&here->search_ends_lost, 1);
        return;
    }
    struct record *r = &s->record;
    forget_caller(s);
    __builtin_memset(r, 0, sizeof(*r));
    r->timestamp = record_clock();
    r->task = task;
    u64 ids = bpf_get_current_pid_tgid();
    r->pid = ids >> 32; /* with the address, this identifies the task */
    r->tid = ids;
    r->uid = uid; /* user space keeps it in order with the tries by this */
    r->kind = KIND_SEARCH_END;
    if (filename) {
        r->bits = FOUND;
        int n = read_kernel_string(s->data, CHUNK, (void *)filename);
        r->used = r->lengths[SECTION_PATH] = n > 0 ? n : 0;
    }
    if (emit(ctx, s, uid))
        lock_xadd(&here->search_ends_lost, 1);
    release(s);
}
