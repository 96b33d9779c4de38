/* SPDX-License-Identifier: MIT
 * See cpython/replay.h. */
#include "cpython/replay.h"

#include "base/status.h"

static int add(cpy_replay *replay, const cpy_replayed *row) {
    if (!replay->wanted || row->count <= 0) {
        return MPR_OK;
    }
    if (replay->count == CPY_REPLAY_ROWS) {
        return MPR_ELIMIT;
    }
    replay->rows[replay->count++] = *row;
    return MPR_OK;
}

int cpy_replay_items(cpy_replay *replay, PyObject *const *items, Py_ssize_t count, bool backward) {
    return add(replay, &(cpy_replayed){.items = items, .count = count, .backward = backward});
}

int cpy_replay_table(cpy_replay *replay, const cpy_table *table) {
    return add(replay, &(cpy_replayed){.table = *table, .count = table->count});
}

int cpy_replay_dict(cpy_replay *replay, PyObject *dict) {
    return add(replay, &(cpy_replayed){.dict = dict, .count = PY_SSIZE_T_MAX});
}

/* The object that comes next in a row, its key where it has one, and the place behind it; or NULL at the row's end. */
static PyObject *next_in(cpy_replayed *row, PyObject **key, Py_ssize_t *after) {
    PyObject *object = NULL;
    *key = NULL;
    if (row->dict != NULL) {
        *after = row->at;
        return PyDict_Next(row->dict, after, key, &object) ? object : NULL;
    }
    for (; row->at < row->count && object == NULL; row->at += object == NULL) {
        Py_ssize_t i = row->backward ? row->count - 1 - row->at : row->at;
        object = row->items != NULL ? row->items[i] : cpy_table_value(&row->table, i);
        *key = row->items != NULL ? NULL : cpy_table_key(&row->table, i);
    }
    *after = row->at + 1;
    return object;
}

/* A dict's traversal goes value, key, value, key, with or without the keys. */
static bool repeats(cpy_replayed *row, PyObject *target) {
    PyObject *key = row->key;
    Py_ssize_t after;
    row->key = NULL;
    if (key == target) {
        return true;
    }
    if (next_in(row, &key, &after) != target) {
        return false;
    }
    row->at = after;
    row->key = key;
    return true;
}

bool cpy_replay_repeats(cpy_replay *replay, PyObject *target) {
    if (target == replay->dict) {
        replay->dict = NULL;
        return true;
    }
    for (uint32_t i = 0; i < replay->count; i++) {
        cpy_replayed *row = &replay->rows[i];
        if ((row->at < row->count || row->key != NULL) && repeats(row, target)) {
            return true;
        }
    }
    if (target == replay->type) {
        replay->type = NULL;
        return true;
    }
    return false;
}
