// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* argv and envp in the memory that the call points to. */

/*
 * The verifier follows these loops turn by turn, and both branches of each condition. So what changes from
 * turn to turn is in map memory, whose values the verifier does not follow, and only the end of a loop is a
 * condition: everything else is computed from 0 or 1 with bit_if_*.
 */

static __always_inline u64 top_bit(u64 value)
{
    asm volatile("" : "+r"(value)); /* or the compiler turns it into a condition */
    return value >> 63;
}

static __always_inline u64 bit_if_zero(u64 value)
{
    return top_bit(value | -value) ^ 1;
}

static __always_inline u64 bit_if_less(u64 a, u64 b) /* both below 2^63 */
{
    return top_bit(a - b);
}

static __always_inline u64 read_block(struct scratch *s, u64 from, u32 size)
{
    if (size > BLOCK)
        return 1;
    return read_strings_memory(s, s->pointers, size, from);
}

/*
 * Continue counting at `elements`, without reading strings. Pointers are read in blocks that end at multiples
 * of their size and so never cross a page: an array that ends where its mapping ends can still be read. The
 * NULL in a block is found as in strlen, by a test of whole words.
 */
static __always_inline u32 count_pointers(struct scratch *s, u64 array)
{
    u64 narrow = bit_if_less(s->call.pointer_size, 8);
    u64 ones = 1 | narrow << 32;
    u64 tops = 1ULL << 63 | narrow << 31;
    u64 from = array + (u64)s->elements * s->call.pointer_size;
    u32 size = BLOCK - (from & (BLOCK - 1));
    if (from & (s->call.pointer_size - 1))
        return UNKNOWN;
    u64 found = 0;
    for (int turn = 0; turn < MAX_COUNTED_BLOCKS; turn++) {
        if (!turn)
#pragma clang loop unroll(disable)
            for (int i = 0; i < BLOCK / 8; i++)
                s->pointers[i] = ~0ULL;
        if (read_block(s, from, size))
            return UNKNOWN;
#pragma clang loop unroll(disable)
        for (int i = 0; i < BLOCK / 8; i++) {
            u64 value = s->pointers[i];
            found |= (value - ones) & ~value & tops;
        }
        if (found)
            break;
        s->elements += size >> (3 - narrow);
        from += size;
        size = BLOCK;
    }
    if (!found)
        return UNKNOWN;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < BLOCK / 4; i++) {
        u64 pointer = ((u32 *)s->pointers)[i];
        if (!narrow)
            pointer = i < BLOCK / 8 ? s->pointers[i] : 0;
        if (!pointer)
            return s->elements + i;
    }
    return UNKNOWN;
}

/*
 * After E2BIG: continue where the reading of strings ended (`elements`, `string`), and return the index of
 * the first string that is longer than the kernel allows (valid_arg_len of fs/exec.c). A pointer that cannot
 * be read is 0. The strings are read into `before`: its reading of the path is in the record by now.
 */
static __always_inline u32 find_too_long(struct scratch *s, u64 array)
{
    u64 wide = 0 - bit_if_zero(s->call.pointer_size - 8);
    u64 is_short = 1;
    for (int turn = 0; turn < MAX_MEASURES; turn++) {
        u64 begin = 0;
        read_strings_memory(s, &begin, 8, array + (u64)s->elements * s->call.pointer_size);
        begin &= 0xffffffff | wide;
        u64 string = s->string | (begin & -bit_if_zero(s->string));
        s64 n = read_string(s, s->before.bytes, string);
        n += bit_if_zero(n); /* an empty string, before 6.14; at a fault n is negative */
        u64 unread = top_bit(n);
        u64 more = bit_if_zero(n - CHUNK);
        u64 length = (string - begin + n - 1) & (unread - 1);
        is_short = bit_if_less(length & ~(1ULL << 63), MAX_ARG_STRLEN);
        if (bit_if_zero(begin) | (is_short ^ 1))
            break;
        s->string = (string + CHUNK - 1) & -more;
        s->elements += 1 - more;
    }
    return is_short ? UNKNOWN : s->elements;
}

/* Append the strings of `array` (argv or envp), each behind its length. Return how many there are. */
static __always_inline u32 append_array(struct scratch *s, u64 array, u32 limit, u32 cut_bit, u32 unread_bit,
                                        u32 *too_long)
{
    u32 start = s->record.used;
    *too_long = UNKNOWN;
    s->elements = 0;
    s->string = 0; /* the rest of a string that did not fit one read */
    if (!array) /* the kernel takes NULL for an empty array */
        return 0;
    /* Pointers are read in aligned blocks, as for counting; one by one if the array is not aligned. */
    bool aligned = !(array & (s->call.pointer_size - 1));
    s->block = 1; /* none yet: no block begins there */
    s->block_mask = aligned ? ~(u64)(BLOCK - 1) : ~0ULL;
    s->block_size = aligned ? BLOCK : 8;
    for (int turn = 0; turn < MAX_ELEMENTS; turn++) {
        u64 at = place_in_data(s);
        if (at > DATA_SIZE - 2 * CHUNK || at >= (u64)start + limit)
            break;
        u64 from = array + (u64)s->elements * s->call.pointer_size;
        u64 block = from & s->block_mask;
        if (block != s->block && read_block(s, block, s->block_size)) {
            s->record.bits |= unread_bit;
            return UNKNOWN;
        }
        s->block = block;
        u64 pointer = *(u64 *)((u8 *)s->pointers + ((from - block) & (BLOCK - 1)));
        u64 wide = 0 - bit_if_zero(s->call.pointer_size - 8);
        pointer &= 0xffffffff | wide;
        u64 string = s->string | (pointer & -bit_if_zero(s->string));
        if (!string)
            return s->elements;
        s64 n = read_string(s, &s->data[at + 2], string);
        n += bit_if_zero(n); /* an empty string, before 6.14; at a fault n is negative */
        u64 unread = top_bit(n);
        u64 more = bit_if_zero(n - CHUNK);
        *(u16 *)&s->data[at] = (n - 1) | -unread | more * CONTINUED;
        s->record.used = at + 2 + ((n - 1) & (unread - 1));
        s->string = (string + CHUNK - 1) & -more;
        s->elements += 1 - more;
    }
    /* A string that filled its last read may end there: then its NUL comes next. */
    u8 next = 1;
    u64 at = place_in_data(s);
    if (s->string && !read_strings_memory(s, &next, 1, s->string) && !next && at < DATA_SIZE - CHUNK) {
        *(u16 *)&s->data[at] = 0;
        s->record.used = at + 2;
        s->string = 0;
        s->elements++;
    }
    u32 held = s->elements;
    u32 total = count_pointers(s, array);
    if (total != held)
        s->record.bits |= cut_bit;
    s->elements = held;
    if (s->record.return_value == -E2BIG)
        *too_long = find_too_long(s, array);
    return total;
}

/* Append up to `limits` bytes of each; if the limit is 0, its elements are only counted. */
static __always_inline void append_arrays(struct scratch *s)
{
#pragma clang loop unroll(disable)
    for (u32 i = ARGV; i <= ENVP; i++) {
        u32 start = s->record.used;
        s->record.counts[i] =
            append_array(s, s->call.arrays[i], s->call.limits[i], i ? ENVIRONMENT_CUT : ARGUMENTS_CUT,
                         i ? ENVIRONMENT_UNREAD : ARGUMENTS_UNREAD, &s->record.too_long[i]);
        s->record.lengths[SECTION_ARGUMENTS + i] = section_length(s, start);
    }
}
