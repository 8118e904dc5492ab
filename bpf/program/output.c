// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Handing records over to user space, and each user's share of the ring: `exceeds_share` says whether a user
 * may write now, `emit` hands a record over and counts it as theirs.
 */

/* Return the bytes of the record in `s`: its header and the `used` bytes behind it. */
static __always_inline u64 size_of_record(struct scratch *s)
{
    u64 size = sizeof(s->record) + (u64)s->record.used;
    asm volatile("" : "+r"(size)); /* or it is checked before the addition, which Linux 5.4 does not follow */
    return size > sizeof(s->record) + DATA_SIZE ? sizeof(s->record) + DATA_SIZE : size;
}

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
static u64 (*query_ring)(void *ring, u64 what) = (void *)BPF_FUNC_ringbuf_query;

/*
 * A user's bytes in the ring. Those written up to `turn` are in `before`, and stop counting once the reader
 * has come that far; those written since are in `after`.
 */
struct share {
    u64 turn; /* a position in the ring */
    u64 before;
    u64 after;
    u64 end; /* position at which the user's last record ended */
};

BPF_TABLE("lru_hash", u32, struct share, shares, MAX_USERS);

/*
 * Return where the ring is read or written (BPF_RB_CONS_POS, BPF_RB_PROD_POS), in bytes since it was created.
 */
static __always_inline u64 ring_position(u64 which)
{
    return query_ring((void *)bpf_pseudo_fd(BPF_PSEUDO_MAP_FD, EVENTS_MAP), which);
}

/*
 * Whether a user's records must wait until some of theirs have been read. As long as less than half of the
 * ring waits to be read, they need not. Beyond that, a user may have up to SHARE_OF_ROOM times the free space
 * there: a single user who fills the ring leaves a quarter of it free, several users leave less, and all of
 * that is open to those who have written nothing. The ring's own positions decide, so this holds however slow
 * the reader is.
 */
static __always_inline bool exceeds_share(u32 uid)
{
    u64 read = ring_position(BPF_RB_CONS_POS); /* first, so that it is never ahead of the writing position */
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

/* A record in the ring has a header of its own, and begins at a multiple of 8 bytes. */
#define RING_ALIGNMENT 8

/* Count what a user has written, once enough waits in the ring for it to matter. */
static __always_inline void count_share(u32 uid, u64 size)
{
    u64 read = ring_position(BPF_RB_CONS_POS);
    u64 written = ring_position(BPF_RB_PROD_POS);
    if (written - read < RING_BYTES / 4)
        return;
    u32 user = user_of(uid);
    u64 room = (size + BPF_RINGBUF_HDR_SZ + RING_ALIGNMENT - 1) & ~(RING_ALIGNMENT - 1ULL);
    struct share *share = shares.lookup(&user);
    if (!share) {
        struct share first = {.end = written, .turn = written, .after = room};
        shares.update(&user, &first);
        return;
    }
    if (read >= share->turn) { /* all that was written before it has been read */
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
#endif /* PERF_BUFFER */
