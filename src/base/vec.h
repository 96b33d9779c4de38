/* SPDX-License-Identifier: MIT
 * Growable arrays: MPR_VEC(T) declares the struct, the macros keep the type. A zeroed struct is an empty vector.
 * Growth doubles; from a mebibyte on it adds a quarter, which with mpr_alloc_pages takes no copy.
 *
 * Invariant: count <= capacity, and items is NULL exactly when capacity is 0. */
#ifndef MPR_BASE_VEC_H
#define MPR_BASE_VEC_H

#include "base/alloc.h"
#include "base/status.h"

#define MPR_VEC(T)                                                                                                                 \
    struct {                                                                                                                       \
        T *items;                                                                                                                  \
        size_t count;                                                                                                              \
        size_t capacity;                                                                                                           \
    }

/* Room for `extra` more items: MPR_OK or MPR_ENOMEM. */
#define mpr_vec_reserve(v, alloc, extra)                                                                                           \
    ((v)->capacity - (v)->count >= (size_t)(extra)                                                                                 \
         ? MPR_OK                                                                                                                  \
         : mpr_vec_grow((void *)&(v)->items, &(v)->capacity, (v)->count, (size_t)(extra), sizeof *(v)->items, (alloc)))

/* Append one item: MPR_OK or MPR_ENOMEM (then nothing changed). */
#define mpr_vec_push(v, alloc, value)                                                                                              \
    (mpr_vec_reserve(v, alloc, 1) == MPR_OK ? ((v)->items[(v)->count++] = (value), MPR_OK) : MPR_ENOMEM)

/* Give back what is not used. Never fails: a block that cannot shrink stays. */
#define mpr_vec_trim(v, alloc) mpr_vec_shrink((void *)&(v)->items, &(v)->capacity, (v)->count, sizeof *(v)->items, (alloc))

#define mpr_vec_free(v, alloc)                                                                                                     \
    (mpr_alloc_free((alloc), (v)->items, (v)->capacity, sizeof *(v)->items), (v)->items = NULL, (v)->count = (v)->capacity = 0)

/* Sort in place, by is_before(const T *, const T *). By Shell's method, with gaps of (3^k - 1) / 2: qsort may ask malloc for memory, which
 * a forked child must not. */
#define mpr_vec_sort(v, is_before)                                                                                                 \
    do {                                                                                                                           \
        size_t gap_ = 1;                                                                                                           \
        while (gap_ < (v)->count / 3) {                                                                                            \
            gap_ = 3 * gap_ + 1;                                                                                                   \
        }                                                                                                                          \
        for (; gap_ > 0; gap_ /= 3) {                                                                                              \
            for (size_t i_ = gap_; i_ < (v)->count; i_++) {                                                                        \
                __typeof__(*(v)->items) item_ = (v)->items[i_];                                                                    \
                size_t k_ = i_;                                                                                                    \
                for (; k_ >= gap_ && is_before(&item_, &(v)->items[k_ - gap_]); k_ -= gap_) {                                      \
                    (v)->items[k_] = (v)->items[k_ - gap_];                                                                        \
                }                                                                                                                  \
                (v)->items[k_] = item_;                                                                                            \
            }                                                                                                                      \
        }                                                                                                                          \
    } while (0)

/* Of items with `begin` and `end` that are sorted and lie beside each other: *at is the first that ends behind an address, or their count. */
#define mpr_vec_bisect(v, address, at)                                                                                             \
    do {                                                                                                                           \
        size_t high_ = (v)->count;                                                                                                 \
        for (*(at) = 0; *(at) < high_;) {                                                                                          \
            size_t middle_ = *(at) + (high_ - *(at)) / 2;                                                                          \
            if ((v)->items[middle_].end <= (address)) {                                                                            \
                *(at) = middle_ + 1;                                                                                               \
            } else {                                                                                                               \
                high_ = middle_;                                                                                                   \
            }                                                                                                                      \
        }                                                                                                                          \
    } while (0)

int mpr_vec_grow(void *items, size_t *capacity, size_t count, size_t extra, size_t item, mpr_alloc *alloc);
void mpr_vec_shrink(void *items, size_t *capacity, size_t count, size_t item, mpr_alloc *alloc);

#endif
