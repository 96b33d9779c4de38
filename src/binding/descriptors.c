/* SPDX-License-Identifier: MIT
 * Descriptors in somebody else's program, which may close all that it has at any moment, as daemons do, and whose next file then has the
 * number of ours.
 *
 * So there are two ways to have one. What is short is opened, read and closed in one call, with the GIL held: no code of the program runs
 * meanwhile. Everything else is held (base/os/held.h): a high number, and closed only as long as it is what it was. What has to be waited
 * for without the GIL is looked at when that is held again: if its number has become another's by then, it is lost, and left alone.
 * memprobe/_native.py is Python's side. */
#define _GNU_SOURCE
#include "binding/binding.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/os/held.h"

#define FDS_MOST 4 /* in one message */

typedef char socket_control[CMSG_SPACE(FDS_MOST * sizeof(int))];

/* (number, identity), or (number, None) of what is not open. */
static PyObject *held_or_none(int fd, mpr_held held) {
    if (held.inode == 0) {
        return Py_BuildValue("iO", fd, Py_None);
    }
    return Py_BuildValue("i(KKL)", held.fd, (unsigned long long)held.device, (unsigned long long)held.inode, (long long)held.born);
}

static PyObject *hold(PyObject *module, PyObject *argument) {
    (void)module;
    int fd = PyObject_AsFileDescriptor(argument);
    return fd < 0 ? NULL : held_or_none(fd, mpr_held_take(fd));
}

/* The descriptor and its identity, of two arguments. */
static bool parse(PyObject *args, mpr_held *held) {
    int fd;
    unsigned long long device, inode;
    long long born;
    if (!PyArg_ParseTuple(args, "i(KKL)", &fd, &device, &inode, &born)) {
        return false;
    }
    *held = (mpr_held){fd, device, inode, born};
    return true;
}

static PyObject *is_still(PyObject *module, PyObject *args) {
    mpr_held held;
    (void)module;
    return parse(args, &held) ? PyBool_FromLong(mpr_held_fd(&held) >= 0) : NULL;
}

static PyObject *release(PyObject *module, PyObject *args) {
    mpr_held held;
    (void)module;
    if (!parse(args, &held)) {
        return NULL;
    }
    mpr_held_close(&held);
    Py_RETURN_NONE;
}

/* Has this number what was opened? */
static bool is_opened(int fd, const char *path, int flags) {
    struct stat found, there;
    if (fstat(fd, &found) != 0) {
        return false;
    }
    if ((flags & O_TMPFILE) == O_TMPFILE) { /* no path leads there */
        return S_ISREG(found.st_mode) && found.st_nlink == 0 && found.st_size == 0;
    }
    return stat(path, &there) == 0 && there.st_dev == found.st_dev && there.st_ino == found.st_ino;
}

static PyObject *hold_open(PyObject *module, PyObject *args) {
    PyObject *path, *answer;
    int flags, mode, fd, error;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&ii", PyUnicode_FSConverter, &path, &flags, &mode)) {
        return NULL;
    }
    const char *name = PyBytes_AS_STRING(path);
    Py_BEGIN_ALLOW_THREADS /* a file system may take its time */
        fd = open(name, flags | O_CLOEXEC, mode);
    error = errno;
    Py_END_ALLOW_THREADS if (fd >= 0 && !is_opened(fd, name, flags)) { fd = -1, error = EBADF; }
    errno = error;
    answer = fd < 0 ? PyErr_SetFromErrnoWithFilename(PyExc_OSError, name) : held_or_none(fd, mpr_held_take(fd));
    Py_DECREF(path);
    return answer;
}

/* -1 is an error of the call that gave it. */
static PyObject *held_or_error(int fd) { return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : held_or_none(fd, mpr_held_take(fd)); }

static PyObject *hold_socket(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return held_or_error(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static PyObject *hold_event(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return held_or_error(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

typedef struct socket_name {
    struct sockaddr_un address;
    socklen_t length;
} socket_name;

static bool get_name(int fd, socket_name *name) {
    memset(name, 0, sizeof *name);
    name->length = sizeof name->address;
    return getsockname(fd, (struct sockaddr *)&name->address, &name->length) == 0;
}

/* A connection has the name of the socket that it was made to. */
static PyObject *hold_client(PyObject *module, PyObject *argument) {
    int listener = PyObject_AsFileDescriptor(argument), fd, error;
    socket_name ours, its;
    (void)module;
    if (listener < 0) {
        return NULL;
    }
    if (!get_name(listener, &ours)) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_BEGIN_ALLOW_THREADS do { /* a process that was stopped and goes on interrupts it */
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        error = errno;
    }
    while (fd < 0 && error == EINTR);
    Py_END_ALLOW_THREADS if (fd >= 0 && (!get_name(fd, &its) || its.length != ours.length ||
                                         memcmp(&its.address, &ours.address, its.length) != 0)) {
        fd = -1, error = EBADF;
    }
    errno = error;
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : held_or_none(fd, mpr_held_take(fd));
}

/* A list of what came beside a message. */
static PyObject *hold_sent(struct msghdr *message) {
    PyObject *list = PyList_New(0);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        size_t count = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (list == NULL) {
                close(fd);
            } else {
                binding_append(&list, held_or_none(fd, mpr_held_take(fd)));
            }
        }
    }
    return list;
}

static PyObject *hold_message(PyObject *module, PyObject *args) {
    int fd;
    Py_ssize_t size;
    socket_control control;
    (void)module;
    if (!PyArg_ParseTuple(args, "in", &fd, &size)) {
        return NULL;
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, size);
    if (data == NULL) {
        return NULL;
    }
    struct iovec part = {PyBytes_AS_STRING(data), (size_t)size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
        Py_DECREF(data);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *sent = hold_sent(&message);
    if (sent == NULL || _PyBytes_Resize(&data, got) < 0) {
        Py_XDECREF(sent);
        Py_XDECREF(data);
        return NULL;
    }
    return Py_BuildValue("(NNO)", data, sent, message.msg_flags & MSG_CTRUNC ? Py_True : Py_False);
}

static PyObject *read_file(PyObject *module, PyObject *argument) {
    PyObject *path;
    (void)module;
    if (!PyUnicode_FSConverter(argument, &path)) {
        return NULL;
    }
    Py_ssize_t size = 4096, used = 0, got = 0;
    PyObject *data = PyBytes_FromStringAndSize(NULL, size);
    int fd = data == NULL ? -1 : open(PyBytes_AS_STRING(path), O_RDONLY | O_CLOEXEC);
    bool failed = fd < 0;
    while (!failed && data != NULL && (got = read(fd, PyBytes_AS_STRING(data) + used, (size_t)(size - used))) > 0) {
        used += got;
        if (used == size) {
            size *= 2;
            _PyBytes_Resize(&data, size);
        }
    }
    if (data != NULL && (failed || got < 0)) {
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(path));
        Py_CLEAR(data);
    }
    if (fd >= 0) {
        close(fd);
    }
    Py_DECREF(path);
    if (data != NULL) {
        _PyBytes_Resize(&data, used);
    }
    return data;
}

/* Add what is in a folder, beside "." and "..". */
static void add_names(PyObject **list, DIR *folder) {
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            binding_append(list, PyUnicode_DecodeFSDefault(entry->d_name));
        }
    }
}

static PyObject *list_folder(PyObject *module, PyObject *argument) {
    PyObject *path, *names = PyList_New(0); /* before the folder is open, for it may start the collector */
    (void)module;
    if (!PyUnicode_FSConverter(argument, &path)) {
        Py_XDECREF(names);
        return NULL;
    }
    DIR *folder = opendir(PyBytes_AS_STRING(path));
    if (folder == NULL) {
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(path));
        Py_CLEAR(names);
    } else {
        add_names(&names, folder);
        closedir(folder);
    }
    Py_DECREF(path);
    return names;
}

PyMethodDef binding_descriptor_methods[] = {
    {"hold", hold, METH_O, "Take a descriptor over: the number that it has now, and its identity, or None when it is not open."},
    {"is_still", is_still, METH_VARARGS, "Whether a descriptor has this identity."},
    {"release", release, METH_VARARGS, "Close a descriptor if it has this identity."},
    {"hold_open", hold_open, METH_VARARGS, "Open a file: as hold()."},
    {"hold_socket", hold_socket, METH_NOARGS, "A new unix socket: as hold()."},
    {"hold_event", hold_event, METH_NOARGS, "A new event that does not block: as hold()."},
    {"hold_client", hold_client, METH_O, "Wait for a connection to a listening socket: as hold()."},
    {"hold_message", hold_message, METH_VARARGS,
     "What a socket has at the moment, at most so many bytes; the descriptors beside it, each as hold(); whether some were lost."},
    {"list_folder", list_folder, METH_O, "The names in a small folder, without leaving the GIL."},
    {"read_file", read_file, METH_O, "The contents of a short file, without leaving the GIL."},
    {NULL, NULL, 0, NULL},
};
