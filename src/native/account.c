/* SPDX-License-Identifier: MIT
 * One pass over the mappings; anonymous ones are kept, joined with their neighbours (madvise splits them, and what a heap grows by after a
 * fork), and looked into afterwards. */
#include "native/account.h"

#include <string.h>

#include "base/os/pages.h"
#include "base/os/process.h"
#include "base/status.h"
#include "native/chunks.h"
#include "native/elf.h"
#include "native/jemalloc.h"
#include "native/mimalloc.h"
#include "native/pools.h"
#include "native/stacks.h"

#define PAGE UINT64_C(4096)

/* Bytes in a row that are nobody's, until no more is looked for: pages are slow to touch. */
#define NOBODYS_MOST (UINT64_C(32) << 20)
#define BEHIND_MOST (4 * PAGE) /* bytes of what a thread's stack has behind its control block */

typedef struct run { /* anonymous mappings side by side */
    uint64_t begin, end, resident;
    bool heap;          /* "[heap]" */
    uint64_t image_end; /* zeroed data of an image up to here, which the kernel may have joined with what lies behind; 0: none */
} run;

typedef struct taking {
    mpr_account *out;
    mpr_alloc *alloc;
    MPR_VEC(run) runs;
    mpr_mapped files; /* where they lie: what they have in memory is known from begin */
    bool measures; /* the kernel says what a part of a mapping has in memory */
    mpr_pools pools;
    mpr_chunks chunks;
    mpr_jemalloc jemalloc;
    uint64_t malloc_used; /* as begin was told */
    mpr_account_more *more; /* or NULL */
    mpr_slots *slots;       /* or NULL */
    int status;             /* of them */
    const run *run; /* that is looked into */
    bool still;
    bool stack; /* what was recognised last is one: it may have pages behind the end that is known */
} taking;

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void add(taking *t, mpr_account_item item, uint64_t bytes) { t->out->value[item] += bytes; }

/* ---- mappings ---- */

static int take_anonymous(taking *t, const mpr_mapping *m, uint64_t image_end) {
    bool heap = strncmp(m->name, "[heap]", 6) == 0;
    run *last = t->runs.count > 0 ? &t->runs.items[t->runs.count - 1] : NULL;
    if (last != NULL && last->end == m->begin && last->heap == heap) {
        last->end = m->end;
        last->resident += m->resident;
        return MPR_OK;
    }
    run new = {m->begin, m->end, m->resident, heap, image_end};
    return mpr_vec_push(&t->runs, t->alloc, new);
}

/* The stack of the first thread, what the kernel put there, or memory to look into. */
static int take_private(taking *t, const mpr_mapping *m) {
    bool stack = strncmp(m->name, "[stack]", 7) == 0, kernel = m->name[0] == '[' && m->name[1] == 'v'; /* vdso, vvar, vsyscall */
    if (stack || kernel) {
        add(t, stack ? MPR_ACCOUNT_STACKS : MPR_ACCOUNT_IMAGES, m->resident);
        return MPR_OK;
    }
    bool image = mpr_mapped_continues_image(&t->files, m);
    return mpr_maps_is_anonymous(m) ? take_anonymous(t, m, image ? mpr_elf_end(t->files.begin) : 0) : MPR_OK;
}

static int take_mapping(void *context, const mpr_mapping *mapping) {
    taking *t = context;
    mpr_mapping m = *mapping;
    if (mpr_mapped_is_file(&m)) {
        mpr_mapped_take(&t->files, &m);
        return MPR_OK;
    }
    if (t->measures) { /* all but [vsyscall], which is in no page table of ours */
        mpr_maps_measure(&t->chunks.pages, m.begin, m.end, &m.resident, &m.swapped);
    }
    add(t, MPR_ACCOUNT_RESIDENT, m.resident);
    add(t, MPR_ACCOUNT_SWAPPED, m.swapped);
    return take_private(t, &m);
}

/* ---- what anonymous memory is ---- */

/* Bytes of a part of the run that are resident. */
static uint64_t resident_bytes(const taking *t, uint64_t begin, uint64_t end) {
    bool all = begin == t->run->begin && end == t->run->end;
    return all ? t->run->resident : mpr_maps_written_bytes(&t->chunks.pages, begin, end);
}

static void take_malloc(taking *t, uint64_t resident, bool walked) {
    add(t, MPR_ACCOUNT_MALLOC, resident);
    add(t, MPR_ACCOUNT_MALLOC_UNREAD, walked ? 0 : resident);
}

static void take_heap(taking *t, const run *r) {
    uint64_t end = mpr_process_break();
    take_malloc(t, r->resident, t->still && end > r->begin && end <= r->end && mpr_chunks_walk(&t->chunks, r->begin, end, true));
}

/* At the end of a thread's stack lies its control block, and below it what of the stack is in memory. The end of a stack that ends in a page, or
 * 0. Nothing below `known` belongs to it. */
static uint64_t take_stack(taking *t, uint64_t page, uint64_t known) {
    uint64_t end = (mpr_stacks_control_block_end(t->still, page) + PAGE - 1) & ~(PAGE - 1), limit = t->run->end;
    if (end == 0) {
        return 0;
    }
    end = end + BEHIND_MOST >= limit ? limit : end;
    t->stack = true;
    add(t, MPR_ACCOUNT_STACKS, resident_bytes(t, mpr_stacks_lowest(page, known), end));
    return end;
}

/* The first pool at or behind `at` of an arena of pymalloc's, or `end`. Arenas are ordered. */
static uint64_t next_arena(const uint64_t *arenas, size_t count, uint64_t at, uint64_t end) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (arenas[middle] >= at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low < count && arenas[low] < end ? arenas[low] : end;
}

static void take_mapped_chunk(taking *t, uint64_t begin, uint64_t end) {
    uint64_t resident = resident_bytes(t, begin, end);
    mpr_chunks_note(&t->chunks, (mpr_chunks_region){begin, end, MPR_CHUNKS_MAPPED});
    t->chunks.used++;
    t->chunks.used_bytes += end - begin;
    t->chunks.used_resident += resident;
    take_malloc(t, resident, true);
}

/* What begins at a page of no arena of pymalloc's: *end is where it ends, 0 for what is nobody's. */
static void take_at(taking *t, uint64_t begin, uint64_t limit, const mpr_chunks_head *head, uint64_t *end) {
    if ((*end = mpr_chunks_heap_end(begin, head)) != 0 && *end <= limit) { /* of another arena than malloc's main one */
        take_malloc(t, resident_bytes(t, begin, *end), t->still && mpr_chunks_walk_heap(&t->chunks, begin, *end));
    } else if ((*end = mpr_chunks_mapped_end(begin, limit, head)) != 0) {
        take_mapped_chunk(t, begin, *end);
    } else if ((*end = mpr_stacks_frames_end(begin, limit, head)) != 0) {
        add(t, MPR_ACCOUNT_STACKS, resident_bytes(t, begin, *end));
    } else if ((*end = mpr_mimalloc_end(begin, limit, head)) != 0) {
        add(t, MPR_ACCOUNT_MIMALLOC, resident_bytes(t, begin, *end));
        t->status = t->slots != NULL && t->status == MPR_OK ? mpr_mimalloc_add(t->slots, begin, *end) : t->status;
    } else if ((*end = mpr_jemalloc_block_end(begin, limit, head)) != 0) {
        add(t, MPR_ACCOUNT_JEMALLOC, resident_bytes(t, begin, *end));
    }
}

/* The beginnings of pages that are in memory. */
typedef struct heads {
    uint64_t page[MPR_MAPS_PEEK];
    mpr_chunks_head head[MPR_MAPS_PEEK];
    size_t count;
    uint64_t end; /* pages up to here were looked at */
} heads;

/* Of a window of pages from `begin` on, which ends at `limit` at the latest. */
static void read_heads(const taking *t, heads *h, uint64_t begin, uint64_t limit) {
    unsigned char resident[MPR_MAPS_WINDOW];
    uint64_t page[MPR_MAPS_PEEK];
    size_t pages = (size_t)(least(limit - begin, MPR_MAPS_WINDOW * PAGE) / PAGE), wanted = 0, i = 0;
    mpr_maps_resident(begin, pages, resident);
    for (; i < pages && wanted < MPR_MAPS_PEEK; i++) {
        if (resident[i] & 1) {
            page[wanted++] = begin + i * PAGE;
        }
    }
    h->end = begin + i * PAGE;
    h->count = 0;
    for (size_t done = 0; done < wanted;) {
        int got = mpr_maps_peek(t->still, page + done, wanted - done, sizeof *h->head, h->head + h->count);
        for (int k = 0; k < got; k++) {
            h->page[h->count++] = page[done++];
        }
        done++; /* one that is gone, or all when the kernel does not let us */
        done = got < 0 ? wanted : done;
    }
}

/* Memory of no arena of pymalloc's, up to where too much of it in a row is nobody's. *known becomes the end of what was recognised last. */
static void take_between(taking *t, uint64_t begin, uint64_t end, uint64_t *known) {
    uint64_t stop = 0, at = begin;
    heads h;
    while (at < end && at - *known < NOBODYS_MOST) {
        read_heads(t, &h, at, end);
        for (size_t i = 0; i < h.count; i++) {
            if (h.page[i] >= *known) {
                take_at(t, h.page[i], end, &h.head[i], &stop);
                t->stack = stop == 0 && t->stack;
                stop = stop != 0 ? stop : take_stack(t, h.page[i], *known);
                *known = stop != 0 ? stop : *known;
            }
        }
        at = *known > h.end ? *known : h.end;
    }
}

/* Is most of a run only reserved? Such space is not walked. */
static bool is_reserved(const taking *t, const run *r) {
    return mpr_pools_is_reserved(r->end - r->begin, t->out->value[MPR_ACCOUNT_RESIDENT]);
}

/* Does something that is known begin at a page? */
static bool begins(const taking *t, uint64_t page, uint64_t limit) {
    heads h;
    read_heads(t, &h, page, page + PAGE);
    return h.count > 0 && (mpr_chunks_mapped_end(page, limit, h.head) != 0 || mpr_chunks_heap_end(page, h.head) != 0 ||
                           mpr_stacks_frames_end(page, limit, h.head) != 0);
}

/* An arena begins at a page, its first pool where one may. Where the arena begins is told by what lies before it, up to `known`, or behind it and
 * the arenas that follow it; by these first where a stack lies before it. */
static uint64_t arena_begin(const taking *t, const uint64_t *arenas, size_t count, uint64_t pool, uint64_t known, uint64_t limit) {
    uint64_t last = pool;
    bool follows = pool - known < MPR_POOLS_POOL;
    if (follows && !t->stack) {
        return known;
    }
    while (next_arena(arenas, count, last + MPR_POOLS_ARENA, limit) == last + MPR_POOLS_ARENA && last + MPR_POOLS_ARENA < limit) {
        last += MPR_POOLS_ARENA;
    }
    for (uint64_t before = 0; before < MPR_POOLS_POOL && before <= pool - known; before += PAGE) {
        uint64_t end = last + MPR_POOLS_ARENA - before;
        if (end == limit || (end < limit && begins(t, end, limit))) {
            return pool - before;
        }
    }
    return follows ? known : pool;
}

static void take_parts(taking *t, const run *r, const uint64_t *arenas, size_t count) {
    uint64_t at = r->image_end > r->begin ? least(r->image_end, r->end) : r->begin;
    add(t, MPR_ACCOUNT_IMAGES, resident_bytes(t, r->begin, at));
    if (is_reserved(t, r)) {
        heads h = {.count = 0};
        if (at < r->end) {
            read_heads(t, &h, at, at + PAGE);
        }
        if (h.count > 0) {
            take_at(t, at, r->end, h.head, &at);
        }
        return;
    }
    while (at < r->end) {
        uint64_t known = at, pool = next_arena(arenas, count, at, r->end);
        take_between(t, at, pool, &known);
        at = r->end;
        if (pool < r->end) {
            uint64_t begin = arena_begin(t, arenas, count, pool, known, r->end);
            if (t->stack && begin - known <= BEHIND_MOST) {
                add(t, MPR_ACCOUNT_STACKS, mpr_maps_written_bytes(&t->chunks.pages, known, begin));
            }
            t->stack = false;
            at = least(r->end, begin + MPR_POOLS_ARENA);
            add(t, MPR_ACCOUNT_POOLS, resident_bytes(t, begin, at));
        }
    }
}

/* What of a run lies between jemalloc's extents. */
static void take_rest(taking *t, const run *r, uint64_t begin, uint64_t end, const uint64_t *arenas, size_t count) {
    bool all = begin == r->begin && end == r->end;
    run rest = {begin, end, all ? r->resident : mpr_maps_written_bytes(&t->chunks.pages, begin, end), false, r->image_end};
    if (rest.resident > 0) {
        t->run = &rest;
        t->stack = false;
        take_parts(t, &rest, arenas, count);
    }
}

static void look_into(taking *t, const run *r, const uint64_t *arenas, size_t count) {
    uint64_t at = r->begin;
    for (size_t i = 0; i < t->jemalloc.span.count && r->resident > 0; i++) {
        const mpr_jemalloc_span *span = &t->jemalloc.span.items[i];
        if (span->begin >= at && span->end <= r->end) {
            take_rest(t, r, at, span->begin, arenas, count);
            t->run = r;
            add(t, MPR_ACCOUNT_JEMALLOC, resident_bytes(t, span->begin, span->end));
            at = span->end;
        }
    }
    if (at < r->end) {
        take_rest(t, r, at, r->end, arenas, count);
    }
}

/* Where parts are not measured: what was only read is in memory, and not in the resident size of the whole. Of such pages malloc has most, which gives
 * zeroed memory without writing to it. What it has of the run is `malloc` and, in use, `used`. */
static void leave_out_zeros(taking *t, const run *r, uint64_t malloc, uint64_t used) {
    uint64_t in_memory = mpr_maps_resident_bytes(r->begin, r->end), zeros = in_memory > r->resident ? in_memory - r->resident : 0;
    t->out->value[MPR_ACCOUNT_MALLOC] -= least(zeros, malloc);
    t->chunks.used_resident -= least(zeros, used);
}

static void take_run(taking *t, const run *r, const uint64_t *arenas, size_t count) {
    uint64_t malloc = t->out->value[MPR_ACCOUNT_MALLOC], used = t->chunks.used_resident;
    if (r->heap) {
        take_heap(t, r);
        return;
    }
    look_into(t, r, arenas, count);
    if (!t->measures && t->out->value[MPR_ACCOUNT_MALLOC] > malloc && !is_reserved(t, r)) {
        leave_out_zeros(t, r, t->out->value[MPR_ACCOUNT_MALLOC] - malloc, t->chunks.used_resident - used);
    }
}

/* Libraries' own jemallocs, by their zeroed data. */
static int find_jemalloc(taking *t) {
    int status = MPR_OK;
    for (size_t i = 0; i < t->runs.count && status == MPR_OK; i++) {
        const run *r = &t->runs.items[i];
        if (r->image_end > r->begin && r->resident > 0) {
            status = mpr_jemalloc_add(&t->jemalloc, t->alloc, r->begin, least(r->image_end, r->end));
        }
    }
    mpr_jemalloc_finish(&t->jemalloc);
    return status;
}

/* ---- pymalloc ---- */

static bool is_before(const mpr_pools_arena *a, const mpr_pools_arena *b) { return a->begin < b->begin; }

static int find_pools(taking *t) {
    uint64_t resident = t->out->value[MPR_ACCOUNT_RESIDENT];
    int status = MPR_OK;
    for (size_t i = 0; i < t->runs.count && status == MPR_OK; i++) {
        const run *r = &t->runs.items[i];
        mpr_mapping m = {.begin = r->begin, .end = r->end, .read = true, .write = true, .name = ""};
        status = r->heap || r->resident == 0 ? MPR_OK : mpr_pools_add(&t->pools, t->alloc, t->still, &m, resident);
    }
    mpr_pools_finish(&t->pools);
    return status;
}

/* pymalloc's arenas, by address; those that have a block in use are kept for who wants them. */
static int sort_arenas(taking *t) {
    mpr_vec_sort(&t->pools.arena, is_before);
    for (size_t i = 0; t->more != NULL && i < t->pools.arena.count; i++) {
        const mpr_pools_arena *arena = &t->pools.arena.items[i];
        if (arena->used > 0 && mpr_vec_push(&t->more->arenas, t->more->alloc, *arena) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

/* Slots are read in place: those alone that lie in memory which was found here, whatever the tables of their allocator say. */
static void keep_slots_in_runs(taking *t) {
    mpr_slots *slots = t->slots;
    size_t kept = 0, at = 0;
    mpr_slots_finish(slots);
    for (size_t i = 0; i < slots->run.count; i++) {
        const mpr_slots_run *one = &slots->run.items[i];
        while (at < t->runs.count && t->runs.items[at].end < one->end) {
            at++;
        }
        if (at < t->runs.count && t->runs.items[at].begin <= one->begin) {
            slots->run.items[kept++] = *one;
        }
    }
    slots->run.count = kept;
}

static int take_runs(taking *t) {
    int status = sort_arenas(t);
    status = status == MPR_OK ? find_jemalloc(t) : status;
    size_t count = t->pools.arena.count;
    uint64_t *arenas = status == MPR_OK ? mpr_alloc_array(t->alloc, count, sizeof *arenas) : NULL;
    if (arenas == NULL) {
        return MPR_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        arenas[i] = t->pools.arena.items[i].begin;
    }
    for (size_t i = 0; i < t->runs.count; i++) {
        take_run(t, &t->runs.items[i], arenas, count);
    }
    mpr_alloc_free(t->alloc, arenas, count, sizeof *arenas);
    return t->status;
}

/* ---- all of it ---- */

static void set_malloc(taking *t) {
    uint64_t *value = t->out->value;
    value[MPR_ACCOUNT_MALLOC_USED] = least(t->chunks.used_resident, value[MPR_ACCOUNT_MALLOC]);
    value[MPR_ACCOUNT_MALLOC_GIVEN] = t->chunks.used_bytes;
    value[MPR_ACCOUNT_MALLOC_CHUNKS] = t->chunks.used;
    value[MPR_ACCOUNT_MALLOC_TOP] = t->chunks.top_bytes;
    value[MPR_ACCOUNT_MALLOC_LARGEST] = t->chunks.largest;
    value[MPR_ACCOUNT_MALLOC_RETURNABLE] = t->chunks.returnable;
    value[MPR_ACCOUNT_MALLOC_ARENAS] = t->chunks.arenas;
    value[MPR_ACCOUNT_MALLOC_OTHERS_FREE] = t->chunks.others_free;
    if (t->still) {
        return;
    }
    value[MPR_ACCOUNT_MALLOC_UNREAD] = 0; /* nothing was followed */
    value[MPR_ACCOUNT_MALLOC_CHUNKS] = value[MPR_ACCOUNT_MALLOC_TOP] = value[MPR_ACCOUNT_MALLOC_LARGEST] = MPR_ACCOUNT_UNKNOWN;
    value[MPR_ACCOUNT_MALLOC_RETURNABLE] = value[MPR_ACCOUNT_MALLOC_ARENAS] = MPR_ACCOUNT_UNKNOWN;
    value[MPR_ACCOUNT_MALLOC_OTHERS_FREE] = MPR_ACCOUNT_UNKNOWN;
    uint64_t used = t->malloc_used;
    value[MPR_ACCOUNT_MALLOC_GIVEN] = used;
    value[MPR_ACCOUNT_MALLOC_USED] = used == MPR_ACCOUNT_UNKNOWN ? used : least(used, value[MPR_ACCOUNT_MALLOC]);
}

static void set_pools(taking *t, bool known) {
    uint64_t *value = t->out->value;
    value[MPR_ACCOUNT_POOLS_USED] = known ? t->pools.used_bytes : MPR_ACCOUNT_UNKNOWN;
    value[MPR_ACCOUNT_POOLS_ARENAS] = known ? t->pools.arenas : MPR_ACCOUNT_UNKNOWN;
    if (!known) {
        value[MPR_ACCOUNT_POOLS] = MPR_ACCOUNT_UNKNOWN;
    }
}

static int take_all(taking *t) {
    int status = mpr_maps_read(0, t->measures ? MPR_MAPS_PLAIN : MPR_MAPS_SIZES, take_mapping, t);
    int looked = status == MPR_OK ? find_pools(t) : status;
    if (looked != MPR_OK && looked != MPR_EUNSUPPORTED) {
        return looked;
    }
    status = take_runs(t);
    set_pools(t, looked == MPR_OK);
    set_malloc(t);
    return status;
}

/* What begin knows stays, and what it found of files is counted; what is added up begins at 0. */
static void begin_with(mpr_account *found, const mpr_account *begun) {
    static const mpr_account_item sums[] = {MPR_ACCOUNT_STACKS,   MPR_ACCOUNT_POOLS,    MPR_ACCOUNT_MALLOC,
                                            MPR_ACCOUNT_MIMALLOC, MPR_ACCOUNT_JEMALLOC, MPR_ACCOUNT_MALLOC_UNREAD};
    *found = *begun;
    found->value[MPR_ACCOUNT_SWAPPED] = begun->files_swapped;
    found->value[MPR_ACCOUNT_IMAGES] = begun->files.total[MPR_MAPPED_IMAGE];
    found->value[MPR_ACCOUNT_FILES] = begun->files.total[MPR_MAPPED_FILE];
    found->value[MPR_ACCOUNT_SHARED_MEMORY] = begun->files.total[MPR_MAPPED_MEMORY];
    found->value[MPR_ACCOUNT_RESIDENT] =
        found->value[MPR_ACCOUNT_IMAGES] + found->value[MPR_ACCOUNT_FILES] + found->value[MPR_ACCOUNT_SHARED_MEMORY];
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        found->value[sums[i]] = 0;
    }
}

int mpr_account_finish(mpr_account *account, mpr_alloc *alloc, const mpr_held *pages, bool still, mpr_account_more *more) {
    mpr_account found;
    uint64_t resident, swapped, page = (uintptr_t)&found & ~(PAGE - 1);
    taking t = {
        .out = &found, .alloc = alloc, .still = still, .malloc_used = account->value[MPR_ACCOUNT_MALLOC_GIVEN], .more = more};
    if (account->value[MPR_ACCOUNT_PRIVATE] == MPR_ACCOUNT_UNKNOWN) {
        return MPR_EIO;
    }
    if (!mpr_maps_tell_resident()) {
        return MPR_EUNSUPPORTED;
    }
    begin_with(&found, account);
    t.measures = mpr_maps_measure(pages, page, page + PAGE, &resident, &swapped);
    t.chunks.pages = *pages;
    if (still && more != NULL) {
        t.chunks.regions.alloc = more->slots.alloc = more->alloc;
        t.slots = t.jemalloc.slots = &more->slots;
    }
    int status = take_all(&t);
    if (more != NULL) {
        more->regions = t.chunks.regions;
    }
    if (t.slots != NULL) {
        keep_slots_in_runs(&t);
    }
    if (status == MPR_OK) {
        *account = found;
    }
    mpr_pools_free(&t.pools, alloc);
    mpr_vec_free(&t.jemalloc.span, alloc);
    mpr_vec_free(&t.runs, alloc);
    return status;
}

void mpr_account_add_discarded(mpr_account *account, uint64_t bytes) {
    static const mpr_account_item items[] = {MPR_ACCOUNT_RESIDENT, MPR_ACCOUNT_MALLOC, MPR_ACCOUNT_MALLOC_USED};
    uint64_t left = account->value[MPR_ACCOUNT_RESIDENT];
    bytes = least(bytes, account->resident > left ? account->resident - left : 0);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        account->value[items[i]] += account->value[items[i]] == MPR_ACCOUNT_UNKNOWN ? 0 : bytes;
    }
}

static int take_totals(void *context, const mpr_mapping *m) {
    mpr_account *out = context;
    const struct {
        mpr_account_item item;
        uint64_t size;
    } sums[] = {
        {MPR_ACCOUNT_PROPORTIONAL, m->proportional}, {MPR_ACCOUNT_PRIVATE, m->private_bytes}, {MPR_ACCOUNT_SHARED, m->shared_bytes},
        {MPR_ACCOUNT_ANONYMOUS, m->anonymous},       {MPR_ACCOUNT_HUGETLB, m->huge},          {MPR_ACCOUNT_MAPPINGS, 1}};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        uint64_t *value = &out->value[sums[i].item];
        *value = (*value == MPR_ACCOUNT_UNKNOWN ? 0 : *value) + sums[i].size;
    }
    out->resident += m->resident;
    if (mpr_mapped_is_file(m)) {
        mpr_mapped_take(&out->files, m);
        out->files_swapped += m->swapped;
    }
    return MPR_OK;
}

void mpr_account_begin(mpr_account *out, bool still, const mpr_held *smaps) {
    *out = (mpr_account){.files = {0}};
    for (int i = 0; i < MPR_ACCOUNT_COUNT; i++) {
        out->value[i] = MPR_ACCOUNT_UNKNOWN;
    }
    if (!still) { /* it looks at each free chunk, with its locks */
        out->value[MPR_ACCOUNT_MALLOC_GIVEN] = mpr_process_glibc_used();
    }
    mpr_process_other_malloc(&out->value[MPR_ACCOUNT_OTHER], &out->value[MPR_ACCOUNT_OTHER_USED]);
    out->value[MPR_ACCOUNT_SELF] = mpr_pages_mapped();
    mpr_maps_read_file(smaps, take_totals, out);
    mpr_mapped_finish(&out->files);
}

void mpr_account_more_free(mpr_account_more *more) {
    mpr_chunks_regions_free(&more->regions);
    mpr_slots_free(&more->slots);
    if (more->alloc != NULL) {
        mpr_vec_free(&more->arenas, more->alloc);
    }
}
