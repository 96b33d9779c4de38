/* SPDX-License-Identifier: MIT
 * One pass over the process's own page tables; one over its parent's and the contents of both, in windows. */
#include "native/sharing.h"

#include <string.h>

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/status.h"
#include "native/places.h"
#include "native/pools.h"

#define PAGE MPR_PLACES_PAGE
#define WINDOW 64          /* pages that are looked at together */
#define LINE 32            /* words that are compared together */

static int add_page(mpr_sharing_runs *runs, mpr_alloc *alloc, uint64_t page) {
    mpr_sharing_run *last = runs->count > 0 ? &runs->items[runs->count - 1] : NULL;
    if (last != NULL && last->begin + last->pages * PAGE == page) {
        last->pages++;
        return MPR_OK;
    }
    mpr_sharing_run new = {page, 1};
    return mpr_vec_push(runs, alloc, new);
}

/* ---- before the fork ---- */

typedef struct search {
    mpr_sharing *sharing;
    const mpr_held *pages;
    uint64_t resident;
} search;

mpr_sharing_files mpr_sharing_open(void) {
    mpr_sharing_files files = {.parent = mpr_process_forked_by()};
    if (files.parent != 0) {
        files.resident = mpr_process_rss();
        files.maps = mpr_maps_open(0, MPR_MAPS_PLAIN);
        files.pages = mpr_maps_open(0, MPR_MAPS_PAGES);
    }
    return files;
}

void mpr_sharing_close(mpr_sharing_files *files) {
    mpr_held_close(&files->maps);
    mpr_held_close(&files->pages);
}

/* A private mapping of a file has anonymous pages, too: those that were written to. */
static bool may_have_pages(const search *s, const mpr_mapping *m) {
    bool kernels = m->name[0] == '[' && m->name[1] == 'v'; /* vdso, vvar, vsyscall */
    return m->read && !m->shared && !kernels && !mpr_pools_is_reserved(m->end - m->begin, s->resident);
}

static int find_own(void *context, const mpr_mapping *m) {
    const search *s = context;
    uint64_t entries[8 * WINDOW], at = m->begin;
    while (may_have_pages(s, m) && at < m->end) {
        size_t pages = (m->end - at) / PAGE < 8 * WINDOW ? (size_t)((m->end - at) / PAGE) : 8 * WINDOW;
        size_t got = mpr_maps_read_pages(s->pages, at, pages, entries);
        for (size_t i = 0; i < got; i++) {
            bool own = (entries[i] & (MPR_MAPS_PRESENT | MPR_MAPS_ALONE | MPR_MAPS_OF_FILE)) == (MPR_MAPS_PRESENT | MPR_MAPS_ALONE);
            if (own && add_page(&s->sharing->own, s->sharing->alloc, at + i * PAGE) != MPR_OK) {
                return MPR_ENOMEM;
            }
        }
        if (got == 0) {
            return MPR_EIO;
        }
        at += got * PAGE;
    }
    return MPR_OK;
}

void mpr_sharing_begin(mpr_sharing *sharing, const mpr_sharing_files *files) {
    search s = {.sharing = sharing, .pages = &files->pages, .resident = files->resident};
    if (files->parent != 0 && mpr_maps_read_file(&files->maps, find_own, &s) == MPR_OK) {
        sharing->parent = files->parent;
    }
}

/* ---- in the child ---- */

typedef struct comparing {
    mpr_sharing *sharing;
    mpr_held pages, memory; /* the parent's */
    mpr_sharing_is_note *is_note;
    void *context;
    uint64_t *theirs; /* contents of a window's pages */
} comparing;

/* Does a line differ in more than notes? */
MPR_MAPS_ANY_MEMORY static bool line_differs(const comparing *c, const uint64_t *mine, const uint64_t *theirs) {
    bool differs = false;
    for (size_t i = 0; i < LINE && !differs; i++) {
        differs = mine[i] != theirs[i] && !c->is_note(c->context, (uint64_t)(uintptr_t)(mine + i));
    }
    return differs;
}

/* Does a page? Most lines do not, and are compared without a branch for each word. */
MPR_MAPS_ANY_MEMORY static bool differs(const comparing *c, uint64_t page, const uint64_t *theirs) {
    const uint64_t *mine = (const uint64_t *)(uintptr_t)page;
    for (size_t at = 0; at < PAGE / sizeof *mine; at += LINE) {
        uint64_t bits = 0;
        for (size_t i = 0; i < LINE; i++) {
            bits |= mine[at + i] ^ theirs[at + i];
        }
        if (bits != 0 && line_differs(c, mine + at, theirs + at)) {
            return true;
        }
    }
    return false;
}

/* Pages side by side that the parent has, too, and which are in memory here. */
static int compare(const comparing *c, uint64_t begin, size_t pages) {
    mpr_sharing *s = c->sharing;
    size_t got = mpr_maps_read_memory(&c->memory, begin, pages * PAGE, c->theirs) / PAGE;
    s->compared = s->compared && got == pages;
    for (size_t i = 0; i < pages; i++) {
        uint64_t page = begin + i * PAGE;
        bool written = i < got && differs(c, page, c->theirs + i * PAGE / sizeof *c->theirs);
        if (add_page(written ? &s->written : &s->kept, s->alloc, page) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

/* Is a page of the parent's process anonymous, and can it be read without fetching it back? */
static bool has_page(uint64_t entry) {
    return (entry & (MPR_MAPS_PRESENT | MPR_MAPS_SWAPPED)) != 0 && (entry & MPR_MAPS_OF_FILE) == 0;
}
static bool is_readable(uint64_t entry, unsigned char resident) { return (entry & MPR_MAPS_PRESENT) != 0 && (resident & 1) != 0; }

/* Pages that follow each other are compared together. What the child has given back is data that only the program writes to. */
static int compare_window(const comparing *c, uint64_t begin, size_t pages) {
    uint64_t entries[WINDOW];
    unsigned char resident[MPR_MAPS_WINDOW];
    size_t known = mpr_maps_read_pages(&c->pages, begin, pages, entries), next;
    int status = known == pages ? MPR_OK : MPR_EIO; /* the parent has ended */
    mpr_maps_resident(begin, known, resident);
    for (size_t i = 0; i < known && status == MPR_OK; i = next) {
        next = i + 1;
        if (has_page(entries[i]) && is_readable(entries[i], resident[i])) {
            while (next < known && has_page(entries[next]) && is_readable(entries[next], resident[next])) {
                next++;
            }
            status = compare(c, begin + i * PAGE, next - i);
        } else {
            mpr_sharing_runs *copied = resident[i] & 1 ? &c->sharing->kept : &c->sharing->written;
            status = add_page(has_page(entries[i]) ? copied : &c->sharing->made, c->sharing->alloc, begin + i * PAGE);
        }
    }
    return status;
}

static int compare_all(const comparing *c) {
    const mpr_sharing *s = c->sharing;
    int status = MPR_OK;
    for (size_t i = 0; i < s->own.count && status == MPR_OK; i++) {
        const mpr_sharing_run *run = &s->own.items[i];
        for (uint64_t done = 0; done < run->pages && status == MPR_OK; done += WINDOW) {
            uint64_t pages = run->pages - done < WINDOW ? run->pages - done : WINDOW;
            status = compare_window(c, run->begin + done * PAGE, (size_t)pages);
        }
    }
    return status;
}

static uint64_t bytes_of(const mpr_sharing_runs *runs) {
    uint64_t pages = 0;
    for (size_t i = 0; i < runs->count; i++) {
        pages += runs->items[i].pages;
    }
    return pages * PAGE;
}

static int emit_runs(const mpr_sharing *s, const mpr_sharing_runs *runs, mpr_sink *sink, const char *key) {
    mpr_places places = {.text.alloc = s->alloc};
    for (size_t i = 0; i < runs->count; i++) {
        mpr_places_add(&places, runs->items[i].begin, &runs->items[i].pages, 1);
    }
    return mpr_places_emit(&places, sink, key);
}

static int emit(const mpr_sharing *s, mpr_sink *sink) {
    const mpr_seen_info numbers[] = {{.key = "mem_fork_parent", .number = s->parent},
                                     {.key = "mem_fork_own", .number = (int64_t)bytes_of(&s->own)},
                                     {.key = "mem_fork_made", .number = (int64_t)bytes_of(&s->made)},
                                     {.key = "mem_fork_copied", .number = (int64_t)(bytes_of(&s->kept) + bytes_of(&s->written))},
                                     {.key = "mem_fork_written", .number = (int64_t)bytes_of(&s->written)}};
    size_t count = sizeof numbers / sizeof *numbers - !s->compared;
    int status = MPR_OK;
    for (size_t i = 0; i < count && status == MPR_OK; i++) {
        status = sink->info(sink, &numbers[i]);
    }
    status = status == MPR_OK ? emit_runs(s, &s->made, sink, "mem_fork_made_pages") : status;
    status = status == MPR_OK ? emit_runs(s, &s->kept, sink, "mem_fork_kept_pages") : status;
    return status == MPR_OK ? emit_runs(s, &s->written, sink, "mem_fork_written_pages") : status;
}

int mpr_sharing_finish(mpr_sharing *s, mpr_sharing_is_note *is_note, void *context, mpr_sink *sink) {
    if (s->parent == 0) {
        return MPR_OK;
    }
    comparing c = {.sharing = s,
                   .pages = mpr_maps_open(s->parent, MPR_MAPS_PAGES),
                   .memory = mpr_maps_open(s->parent, MPR_MAPS_MEMORY),
                   .is_note = is_note,
                   .context = context,
                   .theirs = mpr_alloc_array(s->alloc, WINDOW, PAGE)};
    s->compared = c.memory.inode != 0;
    int status = c.theirs == NULL ? MPR_ENOMEM : c.pages.inode == 0 ? MPR_OK : compare_all(&c);
    status = status == MPR_OK && c.pages.inode != 0 ? emit(s, sink) : status == MPR_EIO ? MPR_OK : status;
    mpr_held_close(&c.pages);
    mpr_held_close(&c.memory);
    mpr_alloc_free(s->alloc, c.theirs, WINDOW, PAGE);
    return status;
}

void mpr_sharing_free(mpr_sharing *s) {
    if (s->alloc != NULL) {
        mpr_vec_free(&s->own, s->alloc);
        mpr_vec_free(&s->made, s->alloc);
        mpr_vec_free(&s->kept, s->alloc);
        mpr_vec_free(&s->written, s->alloc);
    }
}
