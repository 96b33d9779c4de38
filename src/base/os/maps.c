/* SPDX-License-Identifier: MIT
 * /proc/PID/maps and smaps, read in pieces. A mapping is a line "begin-end rwxp offset dev inode   path"; in smaps lines "Rss:  12 kB" follow. */
#define _GNU_SOURCE
#include "base/os/maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

#define NAME_MOST 4096

/* ---- the map ---- */

typedef struct reading {
    mpr_mapping mapping; /* the last that was begun; begin == end: none */
    char name[NAME_MOST];
    mpr_maps_each *each;
    void *context;
} reading;

static int finish_mapping(reading *r) {
    int status = r->mapping.begin < r->mapping.end ? r->each(r->context, &r->mapping) : MPR_OK;
    r->mapping.begin = r->mapping.end;
    return status;
}

/* Pass over a word and the spaces behind it. */
static const char *after_word(const char *at) {
    at += strcspn(at, " ");
    return at + strspn(at, " ");
}

static int begin_mapping(reading *r, const char *line) {
    char *rest;
    int status = finish_mapping(r);
    uint64_t begin = strtoull(line, &rest, 16);
    if (*rest != '-') {
        return status;
    }
    uint64_t end = strtoull(rest + 1, &rest, 16);
    if (*rest != ' ' || strlen(rest) < 6) {
        return status;
    }
    const char *rights = rest + 1, *inode = after_word(after_word(after_word(rights)));
    strncpy(r->name, after_word(inode), sizeof r->name - 1);
    r->mapping = (mpr_mapping){.begin = begin,
                               .end = end,
                               .inode = strtoull(inode, NULL, 10),
                               .read = rights[0] == 'r',
                               .write = rights[1] == 'w',
                               .execute = rights[2] == 'x',
                               .shared = rights[3] == 's',
                               .name = r->name};
    return status;
}

static void add_size(reading *r, const char *line) {
    static const struct {
        const char *key;
        size_t offset;
    } keys[] = {{"Rss:", offsetof(mpr_mapping, resident)},
                {"Pss:", offsetof(mpr_mapping, proportional)},
                {"Anonymous:", offsetof(mpr_mapping, anonymous)},
                {"Swap:", offsetof(mpr_mapping, swapped)},
                {"Private_Clean:", offsetof(mpr_mapping, private_bytes)},
                {"Private_Dirty:", offsetof(mpr_mapping, private_bytes)},
                {"Shared_Clean:", offsetof(mpr_mapping, shared_bytes)},
                {"Shared_Dirty:", offsetof(mpr_mapping, shared_bytes)},
                {"Private_Hugetlb:", offsetof(mpr_mapping, huge)},
                {"Shared_Hugetlb:", offsetof(mpr_mapping, huge)}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t length = strlen(keys[i].key);
        if (strncmp(line, keys[i].key, length) == 0) {
            *(uint64_t *)((char *)&r->mapping + keys[i].offset) += strtoull(line + length, NULL, 10) * 1024;
            return;
        }
    }
}

static int take_line(reading *r, const char *line) {
    if (*line >= 'A' && *line <= 'Z') {
        add_size(r, line);
        return MPR_OK;
    }
    return begin_mapping(r, line);
}

/* Take whole lines out of the buffer; what is left of the last one moves to the front. */
static int take_lines(reading *r, char *buffer, size_t *filled) {
    char *line = buffer, *end;
    int status = MPR_OK;
    while (status == MPR_OK && (end = memchr(line, '\n', *filled - (size_t)(line - buffer))) != NULL) {
        *end = '\0';
        status = take_line(r, line);
        line = end + 1;
    }
    *filled -= (size_t)(line - buffer);
    memmove(buffer, line, *filled);
    return status;
}

static int read_all(reading *r, const mpr_held *file) {
    char buffer[2 * NAME_MOST];
    size_t filled = 0;
    off_t at = 0; /* the place in a file of the program's, by this number, is not moved */
    int status = MPR_OK;
    while (status == MPR_OK) {
        if (filled == sizeof buffer) { /* a name longer than any: not a mapping of ours */
            filled = 0;
        }
        ssize_t got = pread(mpr_held_fd(file), buffer + filled, sizeof buffer - filled, at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? MPR_EIO : finish_mapping(r);
        }
        filled += (size_t)got;
        at += got;
        status = take_lines(r, buffer, &filled);
    }
    return status;
}

/* Without stdio, for a forked child. */
static void write_path(char *path, int64_t pid, const char *file) {
    char digits[24], *digit = digits + sizeof digits - 1;
    *digit = '\0';
    for (int64_t rest = pid; rest > 0; rest /= 10) {
        *--digit = (char)('0' + rest % 10);
    }
    strcpy(path, "/proc/");
    strcat(path, pid > 0 ? digit : "self");
    strcat(path, file);
}

mpr_held mpr_maps_open(int64_t pid, mpr_maps_detail detail) {
    static const char *const files[] = {"/maps", "/smaps", "/pagemap", "/mem"};
    char path[64];
    write_path(path, pid, files[detail]);
    return mpr_held_open(path);
}

int mpr_maps_read_file(const mpr_held *file, mpr_maps_each *each, void *context) {
    reading r = {.each = each, .context = context};
    return file->inode == 0 ? MPR_EIO : read_all(&r, file);
}

int mpr_maps_read(int64_t pid, mpr_maps_detail detail, mpr_maps_each *each, void *context) {
    mpr_held file = mpr_maps_open(pid, detail);
    int status = mpr_maps_read_file(&file, each, context);
    mpr_held_close(&file);
    return status;
}

size_t mpr_maps_read_memory(const mpr_held *file, uint64_t begin, size_t size, void *out) {
    ssize_t got = file->inode == 0 ? 0 : pread(mpr_held_fd(file), out, size, (off_t)begin);
    return got < 0 ? 0 : (size_t)got;
}

size_t mpr_maps_read_pages(const mpr_held *file, uint64_t begin, size_t pages, uint64_t *out) {
    uint64_t at = begin / (uint64_t)sysconf(_SC_PAGESIZE) * sizeof *out;
    return mpr_maps_read_memory(file, at, pages * sizeof *out, out) / sizeof *out;
}

/* ---- pages by what they are ---- */

/* As linux/fs.h has them since 6.7: struct pm_scan_arg, struct page_region, PAGEMAP_SCAN, PAGE_IS_... */
typedef struct scan_region {
    uint64_t begin, end, is;
} scan_region;

typedef struct scan_request {
    uint64_t size, flags, begin, end, walked; /* walked: where the kernel ended */
    uint64_t regions, room, most;             /* a pointer; how many fit; pages to report at most, 0: all */
    uint64_t inverted, all, any, returned;    /* which pages are reported, and what of them */
} scan_request;

#define SCAN _IOWR('f', 16, scan_request)

enum { IS_FILE = 1 << 2, IS_PRESENT = 1 << 3, IS_SWAPPED = 1 << 4, IS_ZEROS = 1 << 5 };

/* Pages of [*at, end) that are in memory or swapped, side by side and of one kind: how many such regions, and *at is where to go on. -1: the kernel does
 * not say it. */
static int scan(const mpr_held *file, uint64_t *at, uint64_t end, scan_region *regions, size_t room) {
    scan_request request = {.size = sizeof request,
                            .begin = *at,
                            .end = end,
                            .regions = (uintptr_t)regions,
                            .room = room,
                            .any = IS_PRESENT | IS_SWAPPED,
                            .returned = IS_FILE | IS_PRESENT | IS_SWAPPED | IS_ZEROS};
    int found = file->inode == 0 ? -1 : ioctl(mpr_held_fd(file), SCAN, &request);
    *at = request.walked > *at ? request.walked : end;
    return found;
}

static bool is_written(const scan_region *region) { return (region->is & IS_PRESENT) != 0 && (region->is & IS_ZEROS) == 0; }

bool mpr_maps_measure(const mpr_held *file, uint64_t begin, uint64_t end, uint64_t *resident, uint64_t *swapped) {
    scan_region regions[64] = {0};
    *resident = *swapped = 0;
    while (begin < end) {
        int found = scan(file, &begin, end, regions, sizeof regions / sizeof *regions);
        if (found < 0) {
            return false;
        }
        for (int i = 0; i < found; i++) {
            uint64_t size = regions[i].end - regions[i].begin;
            *resident += is_written(&regions[i]) ? size : 0;
            *swapped += (regions[i].is & IS_SWAPPED) != 0 ? size : 0;
        }
    }
    return true;
}

/* By what pagemap says of each page, for a kernel that cannot be asked for regions. */
static int each_written_page(const mpr_held *file, uint64_t begin, uint64_t end, mpr_maps_each_run *each, void *context) {
    uint64_t pages[MPR_MAPS_WINDOW], page = (uint64_t)sysconf(_SC_PAGESIZE), from = begin, at = begin;
    int status = MPR_OK;
    while (status == MPR_OK && at < end) {
        size_t wanted = (end - at) / page < MPR_MAPS_WINDOW ? (end - at) / page : MPR_MAPS_WINDOW;
        size_t got = mpr_maps_read_pages(file, at, wanted, pages);
        if (got == 0) {
            return MPR_EIO;
        }
        for (size_t i = 0; status == MPR_OK && i < got; i++, at += page) {
            bool written = (pages[i] & (MPR_MAPS_PRESENT | MPR_MAPS_SWAPPED)) != 0 && !(pages[i] & MPR_MAPS_OF_FILE);
            if (!written) {
                status = from < at ? each(context, from, at) : MPR_OK;
                from = at + page;
            }
        }
    }
    return status == MPR_OK && from < end ? each(context, from, end) : status;
}

int mpr_maps_each_written(const mpr_held *file, uint64_t begin, uint64_t end, mpr_maps_each_run *each, void *context) {
    scan_region regions[64] = {0};
    int status = MPR_OK;
    while (status == MPR_OK && begin < end) {
        uint64_t from = begin;
        int found = scan(file, &begin, end, regions, sizeof regions / sizeof *regions);
        if (found < 0) {
            return each_written_page(file, from, end, each, context);
        }
        for (int i = 0; status == MPR_OK && i < found; i++) {
            bool written = (regions[i].is & (IS_FILE | IS_ZEROS)) == 0;
            status = written ? each(context, regions[i].begin, regions[i].end) : MPR_OK;
        }
    }
    return status;
}

bool mpr_maps_is_anonymous(const mpr_mapping *m) {
    bool named = m->name[0] != '\0' && strncmp(m->name, "[heap]", 6) != 0 && strncmp(m->name, "[anon", 5) != 0;
    return m->read && m->write && !m->shared && !named && m->inode == 0;
}

/* ---- memory ---- */

bool mpr_maps_tell_resident(void) {
    unsigned char resident[1];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    return mincore((void *)((uintptr_t)resident & ~(page - 1)), page, resident) == 0 && (resident[0] & 1) != 0;
}

void mpr_maps_resident(uintptr_t begin, size_t pages, unsigned char resident[MPR_MAPS_WINDOW]) {
    if (mincore((void *)begin, pages * (size_t)sysconf(_SC_PAGESIZE), resident) != 0) {
        memset(resident, 0, MPR_MAPS_WINDOW);
    }
}

void mpr_maps_written(const mpr_held *file, uintptr_t begin, size_t pages, unsigned char resident[MPR_MAPS_WINDOW]) {
    scan_region regions[MPR_MAPS_WINDOW] = {0}; /* as for those above, valgrind does not know the call that fills them */
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), at = begin;
    int found = scan(file, &at, begin + pages * page, regions, MPR_MAPS_WINDOW);
    if (found < 0) {
        mpr_maps_resident(begin, pages, resident);
        return;
    }
    memset(resident, 0, MPR_MAPS_WINDOW);
    for (int i = 0; i < found; i++) {
        if (is_written(&regions[i])) {
            memset(resident + (regions[i].begin - begin) / page, 1, (regions[i].end - regions[i].begin) / page);
        }
    }
}

uint64_t mpr_maps_written_bytes(const mpr_held *file, uint64_t begin, uint64_t end) {
    uint64_t resident, swapped;
    return mpr_maps_measure(file, begin, end, &resident, &swapped) ? resident : mpr_maps_resident_bytes(begin, end);
}

bool mpr_maps_in_memory(const void *address, size_t size) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)address & ~(page - 1);
    uint64_t end = ((uintptr_t)address + size + page - 1) & ~(page - 1);
    return size > 0 && end > begin && mpr_maps_resident_bytes(begin, end) == end - begin;
}

uint64_t mpr_maps_resident_bytes(uint64_t begin, uint64_t end) {
    unsigned char resident[MPR_MAPS_WINDOW];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), count = 0;
    for (uint64_t at = begin; at < end; at += MPR_MAPS_WINDOW * page) {
        size_t pages = end - at < MPR_MAPS_WINDOW * page ? (end - at) / page : MPR_MAPS_WINDOW;
        mpr_maps_resident(at, pages, resident);
        for (size_t i = 0; i < pages; i++) {
            count += resident[i] & 1;
        }
    }
    return count * page;
}

MPR_MAPS_ANY_MEMORY static int copy_words(const uint64_t *address, size_t count, size_t words, uint64_t *out) {
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < words; k++) {
            *out++ = ((const uint64_t *)(uintptr_t)address[i])[k];
        }
    }
    return (int)count;
}

/* By the file of our own memory: a filter of system calls that ends the process for an unusual one has nothing to object to. */
int mpr_maps_peek(bool still, const uint64_t *address, size_t count, size_t size, void *out) {
    if (still) {
        return copy_words(address, count, size / 8, out);
    }
    mpr_held file = mpr_held_open("/proc/self/mem");
    if (file.inode == 0) {
        return MPR_EUNSUPPORTED;
    }
    int done = 0;
    while ((size_t)done < count && pread(file.fd, (char *)out + (size_t)done * size, size, (off_t)address[done]) == (ssize_t)size) {
        done++;
    }
    mpr_held_close(&file);
    return done;
}
