// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* At the end of the call: what the hooks within the exec have kept goes into the record. */

#if JOINED

/* Whether the exec failed past the point of no return. */
static __always_inline bool was_late(struct exec *exec)
{
    return exec && exec->bits & KILLED;
}

/* An exec that failed while argv and envp were being counted and copied has left only some of them. */
static __always_inline bool copied_all(struct record *r, struct exec *exec)
{
    s64 error = -r->return_value;
    return exec->bits & CHECKED_ALREADY || (error != E2BIG && error != EFAULT && error != ENOMEM);
}

/* Return the place of the file, for its path to be walked. */
static __always_inline struct place fill_binary(struct record *r, struct exec *exec)
{
    struct place none = {};
    r->bprm_counts[ARGC_OF_BPRM] = r->bprm_counts[ENVC_OF_BPRM] = r->bprm_counts[ARGC_COPIED] = UNKNOWN;
    if (!exec)
        return none;
    __builtin_memcpy(r->bprm_counts, exec->counts, sizeof(r->bprm_counts));
    if (!copied_all(r, exec)) { /* they are 0 until the kernel has counted */
        for (u32 i = 0; i < sizeof(r->bprm_counts) / sizeof(u32); i++)
            r->bprm_counts[i] = r->bprm_counts[i] ? r->bprm_counts[i] : UNKNOWN;
    }
    r->bits |= (exec->bits & CHECKED_ALREADY ? CHECKED : 0) | (exec->bits & KILLED ? LATE : 0);
    if (!exec->inode)
        return none;
    r->bits |= BINARY_KNOWN;
    r->inode_number = exec->number;
    r->ctime = exec->ctime;
    r->size = exec->size;
    r->device = exec->device;
    r->mode = exec->mode;
    r->owner = exec->owner;
    r->group = exec->group;
    /*
     * The kernel frees a task's own files on its way back to user space; until then this one is still there.
     */
    if (kernel_u64(exec->file + AT_file_f_inode) != exec->inode)
        return none;
    return exec->place;
}

static __always_inline void append_interpreter(struct scratch *s, u64 task, struct exec *exec)
{
    u32 start = s->record.used;
    if (exec && exec->bits & HAS_INTERPRETER) {
        struct interpreter *interpreter = interpreters.lookup(&task);
        if (interpreter)
            append_kernel_string(s, (u64)interpreter);
    }
    s->record.lengths[SECTION_INTERPRETER] = section_length(s, start);
}

/*
 * Set how much is read of the caller's own argv and envp: little if the kernel's copy is complete. That copy
 * lacks argv[0] if a #! line replaced it, and does not show an empty argv.
 */
static __always_inline void fill_limits(struct scratch *s, u64 task, struct exec *exec)
{
    s->record.copied_total = 0;
    s->call.limits[ARGV] = MAX_ARGS_BYTES;
    s->call.limits[ENVP] = MAX_ENV_BYTES;
#if COPIES
    if (!exec || !(exec->bits & HAS_COPY) || !copied_all(&s->record, exec))
        return;
    if (s->record.used > DATA_SIZE - sizeof(((struct copy *)0)->bytes) - 2 * CHUNK)
        return; /* it would not fit */
    struct copy *copy = copies.lookup(&task);
    if (!copy)
        return;
    s->record.copied_total = copy->total;
    if (copy->used >= copy->total) {
        s->call.limits[ARGV] = 1; /* argv[0] */
        s->call.limits[ENVP] = 0;
    }
#endif
}

static __always_inline void append_copied(struct scratch *s, u64 task)
{
    s->record.lengths[SECTION_COPIED] = 0;
#if COPIES
    if (!s->record.copied_total)
        return;
    struct copy *copy = copies.lookup(&task);
    u64 at = place_in_data(s);
    if (!copy || at > DATA_SIZE - sizeof(copy->bytes))
        return;
    u64 size = copy->used;
    asm volatile("" : "+r"(size));
    if (size > sizeof(copy->bytes))
        return;
    read_kernel(&s->data[at], size, copy->bytes);
    s->record.used = at + size;
    s->record.lengths[SECTION_COPIED] = size;
#endif
}

static __always_inline void append_binary(struct scratch *s, struct place binary)
{
    u32 start = s->record.used;
    u8 end = NO_FILE;
    if (binary.dentry)
        end = append_path(s, binary, root_of_caller(s));
    s->record.ends[BINARY_END] = end;
    s->record.lengths[SECTION_BINARY] = section_length(s, start);
}

static __always_inline void append_bprm(struct scratch *s, u64 task, struct exec *exec)
{
    append_binary(s, fill_binary(&s->record, exec));
    append_interpreter(s, task, exec);
    fill_limits(s, task, exec);
}

#else /* no hook sees a bprm */

static __always_inline bool was_late(struct exec *exec)
{
    return false;
}

static __always_inline void append_bprm(struct scratch *s, u64 task, struct exec *exec)
{
    struct record *r = &s->record;
    r->bprm_counts[ARGC_OF_BPRM] = r->bprm_counts[ENVC_OF_BPRM] = r->bprm_counts[ARGC_COPIED] = UNKNOWN;
    r->ends[BINARY_END] = NO_FILE;
    r->lengths[SECTION_BINARY] = 0;
    r->lengths[SECTION_INTERPRETER] = 0;
    r->copied_total = 0;
    s->call.limits[ARGV] = MAX_ARGS_BYTES;
    s->call.limits[ENVP] = MAX_ENV_BYTES;
}

static __always_inline void append_copied(struct scratch *s, u64 task)
{
    s->record.lengths[SECTION_COPIED] = 0;
}

#endif /* JOINED */
