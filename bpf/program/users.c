// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Users, and how many entries each has in the tables that live from one hook to another. */

/*
 * Return the user that an id belongs to. A user may run as any of their subordinate ids (subuid(5)), which
 * useradd assigns in consecutive blocks of SUBORDINATES.
 */
static __always_inline u32 user_of(u32 uid)
{
    if (uid < FIRST_SUBORDINATE || uid >= AFTER_SUBORDINATE)
        return uid;
    return uid - (uid - FIRST_SUBORDINATE) % SUBORDINATES;
}

/*
 * The number of a user's entries in each of these tables. A user may have only one in SHARE_OF_TABLE of them,
 * so that nobody can take others' room, for instance by holding up many execs. The index is a hash of the
 * user's id: users whose hashes collide have one share together.
 */
struct holding {
    u32 execs;
    u32 copies;
    u32 searches;
    u32 padding;
};

BPF_ARRAY(holdings, struct holding, 1 << HOLDING_BITS);

/* Return the index of the current task's user. */
static __always_inline u32 holder_here(void)
{
    return hash_of(user_of(bpf_get_current_uid_gid()), HOLDING_BITS);
}

static __always_inline struct holding *holding_of(u32 holder)
{
    return holdings.lookup(&holder);
}
