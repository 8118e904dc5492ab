// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* x86_64: its registers, system call numbers and page tables. x86_64.py has the numbers. */

#define IA32 OF_ARCHITECTURE /* the arguments are in the registers of 32-bit calls */

/* Return a kernel function's argument, at its kprobe. */
static __always_inline u64 function_argument_1(void *ctx)
{
    return kernel_u64((u64)ctx + AT_pt_regs_di);
}

static __always_inline u64 function_argument_2(void *ctx)
{
    return kernel_u64((u64)ctx + AT_pt_regs_si);
}

static __always_inline u64 function_argument_3(void *ctx)
{
    return kernel_u64((u64)ctx + AT_pt_regs_dx);
}

/* Return a kernel function's result, at its kretprobe. */
static __always_inline u64 function_result(void *ctx)
{
    return kernel_u64((u64)ctx + AT_pt_regs_ax);
}

/* Return the record bits of the exec call that a caller entered the kernel with; -1 if it is another call. */
static __always_inline s32 exec_call(u64 regs, u64 task)
{
    u32 number = kernel_u64(regs + AT_pt_regs_orig_ax);
    if (number == NR_execve)
        return 0;
    if (number == NR_execveat)
        return EXECVEAT;
    if (number == NR_x32_execve)
        return COMPAT;
    if (number == NR_x32_execveat)
        return COMPAT | EXECVEAT;
    if (number != NR_ia32_execve && number != NR_ia32_execveat)
        return -1;
    if (!(kernel_u32(task + AT_task_struct_thread_info_status) & TS_COMPAT))
        return -1; /* the same numbers are munmap and close_range of 64-bit callers */
    return COMPAT | IA32 | (number == NR_ia32_execveat ? EXECVEAT : 0);
}

/* Those of execveat: dirfd, path, argv, envp and flags. execve has the middle three. */
#define EXECVEAT_ARGUMENTS 5

/* Take the call's arguments from those registers. */
static __always_inline void fill_call(struct scratch *s, u64 regs, u32 bits)
{
    read_kernel(s->registers, sizeof(s->registers), (void *)(regs + START_registers));
    u64 arguments[EXECVEAT_ARGUMENTS];
    if (bits & IA32) {
        arguments[0] = u32_in(s->registers, AT_pt_regs_bx - START_registers);
        arguments[1] = u32_in(s->registers, AT_pt_regs_cx - START_registers);
        arguments[2] = u32_in(s->registers, AT_pt_regs_dx - START_registers);
        arguments[3] = u32_in(s->registers, AT_pt_regs_si - START_registers);
        arguments[4] = u32_in(s->registers, AT_pt_regs_di - START_registers);
    } else {
        arguments[0] = u64_in(s->registers, AT_pt_regs_di - START_registers);
        arguments[1] = u64_in(s->registers, AT_pt_regs_si - START_registers);
        arguments[2] = u64_in(s->registers, AT_pt_regs_dx - START_registers);
        arguments[3] = u64_in(s->registers, AT_pt_regs_r10 - START_registers);
        arguments[4] = u64_in(s->registers, AT_pt_regs_r8 - START_registers);
    }
    bool at = bits & EXECVEAT;
    s->call.path = at ? arguments[1] : arguments[0];
    s->call.arrays[0] = at ? arguments[2] : arguments[1];
    s->call.arrays[1] = at ? arguments[3] : arguments[2];
    s->call.pointer_size = bits & COMPAT ? 4 : 8;
    s->record.dirfd = arguments[0];
    s->record.flags = arguments[4];
    s->record.bits = bits & (COMPAT | EXECVEAT);
}

/*
 * path, argv and envp lie in the caller's memory or, if the kernel itself starts the exec, in the kernel's.
 * The verifier does not follow a condition at each of these reads. Here one helper reads both kinds of
 * memory, by the address alone. So a caller must not pass a kernel address: one whose top bit is set.
 */
static __always_inline u64 allowed_address(struct scratch *s, u64 from)
{
    u64 of_kernel = (u64)((s64)from >> 63);
    asm volatile("" : "+r"(of_kernel)); /* or the compiler turns it into a condition */
    return from & (~of_kernel | s->call.by_kernel);
}

static __always_inline int read_strings_memory(struct scratch *s, void *to, u32 size, u64 from)
{
#if JOINED
    return read_any(to, size, (void *)allowed_address(s, from));
#else
    return read_user(to, size, (void *)from);
#endif
}

static __always_inline s64 read_string(struct scratch *s, void *to, u64 from)
{
#if JOINED
    return read_any_string(to, CHUNK, (void *)allowed_address(s, from));
#else
    return read_user_string(to, CHUNK, (void *)from);
#endif
}

#if COPIES
#define PRESENT 1ULL
#define LEAF 0x80ULL /* the entry maps a large page, not another table */
#define ADDRESS_BITS 0x000ffffffffff000ULL
#define ENTRIES 512 /* in a table */

/* The address bits below those that index a table (arch/x86/include/asm/pgtable_64_types.h). */
#define PGD_SHIFT_OF_5_LEVELS 48
#define P4D_SHIFT 39
#define PUD_SHIFT 30
#define PMD_SHIFT 21
#define PTE_SHIFT 12

/* Follow one level of a page table: return the table or page that `address` leads to; 0 if there is none. */
static __always_inline u64 next_table(u64 table, u64 address, u32 shift, u64 *entry)
{
    *entry = kernel_u64(table + ((address >> shift) & (ENTRIES - 1)) * sizeof(u64));
    return *entry & PRESENT ? DIRECT_MAP + (*entry & ADDRESS_BITS) : 0;
}

/*
 * Return the kernel's own address of the memory at `address`, by the page tables of a struct mm_struct that
 * no task runs in yet: while an exec prepares it, only the kernel can write there. Return 0 if the page is
 * not present. The new stack of an exec has no large pages.
 */
static __always_inline u64 kernel_address(u64 pgd, u64 address)
{
    u64 entry, table = pgd;
    if (PAGE_TABLE_LEVELS == 5 && !(table = next_table(table, address, PGD_SHIFT_OF_5_LEVELS, &entry)))
        return 0;
    if (!(table = next_table(table, address, P4D_SHIFT, &entry)))
        return 0;
    if (!(table = next_table(table, address, PUD_SHIFT, &entry)) || entry & LEAF)
        return 0;
    if (!(table = next_table(table, address, PMD_SHIFT, &entry)) || entry & LEAF)
        return 0;
    if (!(table = next_table(table, address, PTE_SHIFT, &entry)))
        return 0;
    return table + (address & (PAGE_SIZE - 1));
}
#endif /* COPIES */
