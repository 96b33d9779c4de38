/* SPDX-License-Identifier: MIT
 * base/bytes, base/os/file and held: known sums, varints at every length, a buffer that runs out of memory, a cursor that meets its end, short
 * and failing writes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/os/held.h"
#include "base/siphash.h"
#include "base/status.h"
#include "test.h"

static void sums(test *t) {
    uint8_t data[300];
    dice d = {1};
    CHECK(t, mpr_bytes_crc(0, "123456789", 9) == 0xE3069283u);
    CHECK(t, mpr_bytes_crc_portable(0, "123456789", 9) == 0xE3069283u);
    CHECK(t, mpr_bytes_crc(0, "", 0) == 0);
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)dice_next(&d);
    for (size_t size = 0; size <= sizeof data; size++) {
        uint32_t whole = mpr_bytes_crc(0, data, size);
        size_t cut = size == 0 ? 0 : (size_t)dice_below(&d, size);
        CHECK(t, whole == mpr_bytes_crc_portable(0, data, size));
        CHECK(t, whole == mpr_bytes_crc(mpr_bytes_crc(0, data, cut), data + cut, size - cut));
    }
}

static void numbers(test *t) {
    test_alloc a;
    test_alloc_init(&a);
    for (unsigned bit = 0; bit < 64; bit++)
        for (int off = -1; off <= 1; off++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)off;
            mpr_buffer b = {.alloc = &a.alloc};
            mpr_buffer_varint(&b, value);
            mpr_buffer_signed(&b, (int64_t)value);
            mpr_buffer_signed(&b, -(int64_t)(value >> 1));
            mpr_buffer_u64(&b, value);
            mpr_buffer_u32(&b, (uint32_t)value);
            mpr_buffer_byte(&b, (uint8_t)value);
            size_t text = b.size;
            mpr_buffer_hex(&b, value);
            mpr_buffer_byte(&b, 0);
            char *end;
            CHECK(t, strtoull((char *)b.data + text, &end, 16) == value && *end == 0 && (value == 0 || b.data[text] != '0'));
            b.size = text;
            mpr_cursor c = {b.data, b.data + b.size, false};
            CHECK(t, mpr_cursor_varint(&c) == value);
            CHECK(t, mpr_cursor_signed(&c) == (int64_t)value);
            CHECK(t, mpr_cursor_signed(&c) == -(int64_t)(value >> 1));
            CHECK(t, mpr_cursor_u64(&c) == value);
            CHECK(t, mpr_cursor_u32(&c) == (uint32_t)value);
            CHECK(t, mpr_cursor_byte(&c) == (uint8_t)value);
            CHECK(t, !c.bad && c.at == c.end);
            mpr_buffer_free(&b);
        }
    CHECK(t, a.live == 0 && a.alloc.used == 0 && a.wrong == 0);
}

static void cursor_ends(test *t) {
    static const uint8_t endless[11] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    static const uint8_t biggest[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 1};
    mpr_cursor c = {endless, endless + 11, false};
    CHECK(t, mpr_cursor_varint(&c) == 0 && c.bad);
    c = (mpr_cursor){biggest, biggest + 10, false};
    CHECK(t, mpr_cursor_varint(&c) == UINT64_MAX && !c.bad);
    for (size_t size = 0; size < 10; size++) {
        c = (mpr_cursor){biggest, biggest + size, false};
        CHECK(t, mpr_cursor_varint(&c) == 0 && c.bad && c.at <= c.end);
        CHECK(t, mpr_cursor_byte(&c) == 0 && mpr_cursor_u32(&c) == 0 && mpr_cursor_u64(&c) == 0);
    }
    c = (mpr_cursor){biggest, biggest + 3, false};
    CHECK(t, mpr_cursor_u32(&c) == 0 && c.bad);
    c = (mpr_cursor){biggest, biggest + 3, false};
    CHECK(t, mpr_cursor_take(&c, SIZE_MAX) == NULL && c.bad);
    CHECK(t, mpr_cursor_take(&c, 0) == NULL);
}

static void buffer_runs_out(test *t) {
    for (uint64_t nth = 1; nth < 12; nth++) {
        test_alloc a;
        test_alloc_init(&a);
        a.fail_at = nth;
        mpr_buffer b = {.alloc = &a.alloc};
        size_t before = 0;
        for (unsigned i = 0; i < 5000 && b.status == MPR_OK; i++) {
            before = b.size;
            mpr_buffer_u64(&b, i);
        }
        CHECK(t, (b.status == MPR_ENOMEM) == a.tripped);
        if (a.tripped) {
            CHECK(t, b.size == before);
            mpr_buffer_byte(&b, 1);
            CHECK(t, b.size == before && b.status == MPR_ENOMEM);
        }
        mpr_buffer_free(&b);
        CHECK(t, a.live == 0 && a.wrong == 0);
    }
}

/* ---- files ---- */

typedef struct drain {
    int fd;
    size_t size;
    uint32_t sum;
} drain;

/* Read a pipe slowly and in odd pieces, so that the writer's writes are short. */
static void *drain_pipe(void *context) {
    drain *d = context;
    uint8_t piece[4097];
    for (ssize_t n; (n = read(d->fd, piece, sizeof piece)) > 0;) {
        d->sum = mpr_bytes_crc(d->sum, piece, (size_t)n);
        d->size += (size_t)n;
    }
    return NULL;
}

static void short_writes(test *t) {
    static uint8_t data[1 << 20];
    int ends[2];
    pthread_t thread;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7);
    if (!CHECK(t, pipe(ends) == 0)) return;
    drain d = {.fd = ends[0]};
    CHECK(t, pthread_create(&thread, NULL, drain_pipe, &d) == 0);
    CHECK(t, mpr_file_write(ends[1], data, sizeof data) == MPR_OK);
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    CHECK(t, d.size == sizeof data && d.sum == mpr_bytes_crc(0, data, sizeof data));
}

static void failing_writes(test *t) {
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full >= 0) {
        errno = 0;
        CHECK(t, mpr_file_write(full, "x", 1) == MPR_EIO && errno == ENOSPC);
        close(full);
    }
    CHECK(t, mpr_file_write(-1, "x", 1) == MPR_EIO && errno == EBADF);
    CHECK(t, mpr_file_write(-1, "x", 0) == MPR_OK);
    int ends[2];
    if (!CHECK(t, pipe(ends) == 0)) return;
    close(ends[0]);
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    CHECK(t, mpr_file_write(ends[1], "x", 1) == MPR_EIO && errno == EPIPE);
    signal(SIGPIPE, old);
    close(ends[1]);
}

static void maps(test *t) {
    const uint8_t *data = (const uint8_t *)"";
    size_t size = 1;
    int fd = file_nameless(), ends[2];
    if (!CHECK(t, fd >= 0 && pipe(ends) == 0)) return;
    CHECK(t, mpr_file_map(fd, &data, &size) == MPR_OK && data == NULL && size == 0);
    mpr_file_unmap(data, size);
    CHECK(t, mpr_file_write(fd, "hello", 5) == MPR_OK);
    CHECK(t, mpr_file_map(fd, &data, &size) == MPR_OK && size == 5 && memcmp(data, "hello", 5) == 0);
    mpr_file_unmap(data, size);
    CHECK(t, mpr_file_map(-1, &data, &size) == MPR_EIO && mpr_file_map(ends[0], &data, &size) == MPR_EIO);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

/* A program closes all descriptors, and opens a file that gets a number of ours. */
static void a_number_of_ours(test *t) {
    int pair[2], theirs = file_nameless();
    mpr_held none = {0}, failed = mpr_held_open("/proc/no such file"), held = mpr_held_open("/proc/meminfo");
    CHECK(t, mpr_held_fd(&none) == -1 && mpr_held_fd(&failed) == -1 && mpr_held_take(-1).inode == 0 && mpr_held_look(-1).inode == 0);
    if (!CHECK(t, theirs >= 0 && held.inode != 0 && pipe(pair) == 0)) return;
    int fd = held.fd;
    CHECK(t, fd > pair[1] && mpr_held_fd(&held) == fd && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    mpr_held closed = held;
    mpr_held_close(&held);
    CHECK(t, fcntl(fd, F_GETFD) == -1 && held.inode == 0 && mpr_held_fd(&closed) == -1);
    CHECK(t, dup2(theirs, fd) == fd && mpr_held_fd(&closed) == -1);
    mpr_held_close(&closed);
    CHECK(t, fcntl(fd, F_GETFD) != -1);
    close(fd);
    mpr_held reader = mpr_held_take(pair[0]), writer = mpr_held_look(pair[1]);
    CHECK(t, fcntl(pair[0], F_GETFD) == -1 && mpr_held_fd(&reader) > pair[1] && mpr_held_fd(&writer) == pair[1]);
    mpr_held_close(&reader);
    close(pair[1]);
    close(theirs);
}

static void randoms(test *t) {
    uint8_t a[16] = {0}, b[16] = {0};
    CHECK(t, mpr_file_random(a, sizeof a) == MPR_OK && mpr_file_random(b, sizeof b) == MPR_OK);
    CHECK(t, memcmp(a, b, sizeof a) != 0);
}

/* Values of openssl mac -macopt size:16 SipHash, key 00 01 .. 0f, of the bytes 00 01 02 ... */
static void siphash(test *t) {
    static const struct {
        size_t size;
        uint64_t word[2];
    } known[] = {{0, {0xe6a825ba047f81a3, 0x930255c71472f66d}}, {1, {0x44af996bd8c187da, 0x45fc229b11597634}}, {7, {0x53c1dbd8beebf1a1, 0x3982f01fa64ab8c0}}, {8, {0x61f55862baa9623b, 0xb49714f364e2830f}}, {15, {0x11a8b03399e99354, 0xd9c3cf970fec087e}}, {63, {0x4a83502f77d15051, 0x7cbd3f979a063e50}}, {100, {0x3317be09d02d7339, 0xd9e6e58f35c69782}}};
    uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t data[100], moved[101];
    for (unsigned i = 0; i < sizeof data; i++) data[i] = (uint8_t)i;
    memcpy(moved + 1, data, sizeof data); /* where it does not lie on a word */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        mpr_digest digest = mpr_siphash(key, data, known[i].size);
        CHECK(t, digest.word[0] == known[i].word[0] && digest.word[1] == known[i].word[1]);
        digest = mpr_siphash(key, moved + 1, known[i].size);
        CHECK(t, digest.word[0] == known[i].word[0] && digest.word[1] == known[i].word[1]);
    }
}

void test_bytes(test *t) {
    siphash(t);
    sums(t);
    numbers(t);
    cursor_ends(t);
    buffer_runs_out(t);
    short_writes(t);
    failing_writes(t);
    maps(t);
    a_number_of_ours(t);
    randoms(t);
}
