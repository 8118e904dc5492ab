// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The capture filter: which failures are wanted. */

/* The first capture path that matches decides; if none does, whether all of them exclude. */
static __always_inline bool path_passes(struct scratch *s, struct capture *capture)
{
    for (u32 i = 0; i < MAX_CAPTURE_PATHS; i++) {
        if (i >= capture->paths)
            break;
        u32 length = capture->path_length[i];
        for (u32 j = 0; j < CAPTURE_PATH_SIZE; j++) {
            if (j >= length)
                return i >= capture->excluded;
            if (s->path.bytes[j] != (u8)capture->path[i * CAPTURE_PATH_SIZE + j])
                break;
        }
    }
    return capture->paths == capture->excluded;
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
    u32 active_capture = ACTIVE_CAPTURE;
    u64 *active = controls.lookup(&active_capture);
    u32 index = active && *active ? 1 : 0;
    return captures.lookup(&index);
}
