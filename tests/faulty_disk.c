/* faulty_disk: between a program and the C library, for tests (LD_PRELOAD).
 *
 * What lies below the folder FAULT_DISK_UNDER misbehaves as the first letter of the file FAULT_DISK says, which is read
 * at each call:
 *   full      what writes or makes a file longer ends with ENOSPC; statvfs finds nothing free
 *   io        writes end with EIO
 *   sync      writes are taken, fsync and fdatasync end with EIO
 *   readonly  writes, and opening for writing, end with EROFS
 * anything else, or no such file: all is well.
 *
 * FAULT_DISK_JOURNAL names a file that gets, in the order in which they came to their end, a record for each
 *   W path data   octets were written below the folder        S path   a file or folder there was synced
 *   R path        a file was renamed to that                   A data   octets went to a socket
 * A record: one letter, two 32-bit lengths in the machine's order, path, data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

static int fault(void)
{
    const char *path = getenv("FAULT_DISK");
    char word = 0;
    int saved = errno;
    long file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        if (syscall(SYS_read, file, &word, 1) != 1) word = 0;
        syscall(SYS_close, file);
    }
    errno = saved;
    return word;
}

static int write_error(void)
{
    switch (fault()) {
    case 'f': return ENOSPC;
    case 'i': return EIO;
    case 'r': return EROFS;
    default: return 0;
    }
}

static int is_below(const char *path)
{
    const char *under = getenv("FAULT_DISK_UNDER");
    return under && strncmp(path, under, strlen(under)) == 0;
}

/* What a descriptor is: a path below the folder, "socket:[1]", or "" for anything else. */
static void name_of(int fd, char *name, size_t size)
{
    char link[64];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, size - 1);
    errno = saved;
    name[length < 0 ? 0 : length] = 0;
    if (!is_below(name) && strncmp(name, "socket:", 7)) name[0] = 0;
}

static void record(char what, const char *path, const void *data, size_t length)
{
    const char *journal = getenv("FAULT_DISK_JOURNAL");
    if (!journal) return;
    int saved = errno;
    long file = syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0) {
        uint32_t lengths[2] = {(uint32_t)strlen(path), (uint32_t)length};
        struct iovec parts[4] = {{&what, 1}, {lengths, 8}, {(void *)path, lengths[0]}, {(void *)data, length}};
        if (syscall(SYS_writev, file, parts, 4) < 0) abort();
        syscall(SYS_close, file);
    }
    errno = saved;
}

#define WRITES(call, data, length)                                      \
    char name[4096];                                                    \
    name_of(fd, name, sizeof name);                                     \
    int error = name[0] == '/' ? write_error() : 0;                     \
    if (error) { errno = error; return -1; }                            \
    ssize_t done = call;                                                \
    if (done > 0 && name[0]) record(name[0] == '/' ? 'W' : 'A', name[0] == '/' ? name : "", data, length); \
    return done

ssize_t write(int fd, const void *data, size_t size) { WRITES(REAL(write)(fd, data, size), data, (size_t)done); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { WRITES(REAL(pwrite)(fd, data, size, at), data, (size_t)done); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { WRITES(REAL(pwrite64)(fd, data, size, at), data, (size_t)done); }
ssize_t writev(int fd, const struct iovec *parts, int count) { WRITES(REAL(writev)(fd, parts, count), parts[0].iov_base, parts[0].iov_len); }
ssize_t send(int fd, const void *data, size_t size, int flags) { WRITES(REAL(send)(fd, data, size, flags), data, (size_t)done); }
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    WRITES(REAL(sendto)(fd, data, size, flags, to, length), data, (size_t)done);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    WRITES(REAL(sendmsg)(fd, message, flags), message->msg_iovlen ? message->msg_iov[0].iov_base : "", message->msg_iovlen ? message->msg_iov[0].iov_len : 0);
}

#define SYNCS(call)                                                     \
    char name[4096];                                                    \
    name_of(fd, name, sizeof name);                                     \
    if (name[0] == '/' && (fault() == 's' || fault() == 'i')) { errno = EIO; return -1; } \
    int done = call;                                                    \
    if (done == 0 && name[0] == '/') record('S', name, "", 0);          \
    return done

int fsync(int fd) { SYNCS(REAL(fsync)(fd)); }
int fdatasync(int fd) { SYNCS(REAL(fdatasync)(fd)); }

#define GROWS(call)                                                     \
    char name[4096];                                                    \
    name_of(fd, name, sizeof name);                                     \
    int error = name[0] == '/' ? write_error() : 0;                     \
    if (error) { errno = error; return -1; }                            \
    return call

int ftruncate(int fd, off_t size) { GROWS(REAL(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { GROWS(REAL(ftruncate64)(fd, size)); }
int fallocate(int fd, int how, off_t at, off_t size) { GROWS(REAL(fallocate)(fd, how, at, size)); }

int rename(const char *from, const char *to)
{
    int done = REAL(rename)(from, to);
    if (done == 0 && is_below(to)) record('R', to, "", 0);
    return done;
}

static int refuses_open(const char *path, int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY && is_below(path) && fault() == 'r';
}

#define OPENS(path, call)                                               \
    int mode = 0;                                                       \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, int); va_end(more); } \
    if (refuses_open(path, flags)) { errno = EROFS; return -1; }        \
    return call

int open(const char *path, int flags, ...) { OPENS(path, REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENS(path, REAL(open64)(path, flags, mode)); }
int openat(int folder, const char *path, int flags, ...) { OPENS(path, REAL(openat)(folder, path, flags, mode)); }
int openat64(int folder, const char *path, int flags, ...) { OPENS(path, REAL(openat64)(folder, path, flags, mode)); }

int statvfs(const char *path, struct statvfs *found)
{
    int done = REAL(statvfs)(path, found);
    if (done == 0 && is_below(path) && fault() == 'f') found->f_bavail = found->f_bfree = 0;
    return done;
}
int statvfs64(const char *path, struct statvfs64 *found)
{
    int done = REAL(statvfs64)(path, found);
    if (done == 0 && is_below(path) && fault() == 'f') found->f_bavail = found->f_bfree = 0;
    return done;
}
