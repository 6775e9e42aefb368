/* What a disk and a clock can do to a process. Preloaded into a broker by the tests of this folder, which say
 * in a file that is mapped here what is to go wrong, at any time: the broker has closed the file by then, and
 * may open no other.
 *
 * Files are known by where they were opened; see PLACES in machine.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITES = 1, SYNCS = 2, NAMES = 4, READS = 8 };
/* A place, and that there is none. */
enum { JOURNAL = 1, STORE = 2, KNOWN = 128 };

struct control {
    uint32_t places;   /* whose files: bits of PLACES */
    uint32_t kinds;    /* which calls */
    uint32_t error;    /* what they report; 0 for nothing */
    int32_t after;     /* how many of them are still well */
    int32_t times;     /* how many fail; -1 for all from then on */
    uint32_t delay_ms; /* how long a sync takes */
    uint32_t failed;   /* how many have failed */
    uint32_t seen;     /* how many there were */
    int64_t clock_s;   /* how far the clock is off, in seconds */
    uint32_t small_ms; /* how long a short write to the store waits before it is judged */
    int64_t spot;      /* which byte of a file reads must touch to fail, counted from 1; 0 for any */
};

static const char *const PLACES[] = {"/audit/", "/store/", "/keys/", "/backups/", "/data/"};
static struct control nothing;
static struct control *control = &nothing;
static unsigned char place_of[65536];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RUNTOOLS_MACHINE");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED
                      : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) abort();
    control = at;
    syscall(SYS_close, fd);
}

static unsigned place(const char *path) {
    for (unsigned i = 0; i < sizeof PLACES / sizeof *PLACES; i++)
        if (strstr(path, PLACES[i])) return 1u << i;
    return 0;
}

/* Whether a call of this kind on files there fails now. */
static int fails(unsigned where, unsigned kind) {
    if (!(where & control->places) || !(kind & control->kinds)) return 0;
    __atomic_fetch_add(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (!control->error || __atomic_sub_fetch(&control->after, 1, __ATOMIC_SEQ_CST) >= 0) return 0;
    int32_t left = __atomic_load_n(&control->times, __ATOMIC_SEQ_CST);
    if (left == 0) return 0;
    if (left > 0) __atomic_fetch_sub(&control->times, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST);
    errno = (int)control->error;
    return 1;
}

/* What std did not open is a socket, a pipe, or a segment of the journal, which is opened by a call that nobody
 * can be put in front of. */
static void look_at(int fd) {
    struct stat found;
    int is_file = !fstat(fd, &found) && S_ISREG(found.st_mode);
    place_of[fd] = is_file ? JOURNAL : KNOWN;
}

static int fd_fails(int fd, unsigned kind) {
    if (fd < 0 || fd >= (int)sizeof place_of) return 0;
    if (!place_of[fd]) look_at(fd);
    if (kind == SYNCS && control->delay_ms && place_of[fd] != KNOWN) {
        struct timespec pause = {control->delay_ms / 1000, control->delay_ms % 1000 * 1000000L};
        nanosleep(&pause, NULL);
    }
    return fails(place_of[fd], kind);
}

/* What is shorter than this is the first word of a batch of sled's, which it writes beside the rest. */
enum { SMALL = 64 };

static void wait_if_small(int fd, size_t bytes) {
    if (!control->small_ms || bytes >= SMALL || fd < 0 || fd >= (int)sizeof place_of) return;
    if (place_of[fd] != STORE) return;
    struct timespec left = {control->small_ms / 1000, control->small_ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) && errno == EINTR) {}
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int fd, unsigned where) {
    if (fd >= 0 && fd < (int)sizeof place_of) place_of[fd] = (unsigned char)where;
    return fd;
}

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        va_list more;                                                                 \
        va_start(more, flags);                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;       \
        va_end(more);                                                                 \
        unsigned where = place(path);                                                 \
        if (flags & (O_CREAT | O_WRONLY | O_RDWR) && fails(where, NAMES)) return -1;  \
        return opened(NEXT(name)(path, flags, mode), where ? where : KNOWN);          \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    opened(fd, 0);
    return NEXT(close)(fd);
}

int fcntl(int fd, int what, ...) {
    va_list more;
    va_start(more, what);
    void *with = va_arg(more, void *);
    va_end(more);
    int done = NEXT(fcntl)(fd, what, with);
    if (what == F_DUPFD_CLOEXEC && fd >= 0 && fd < (int)sizeof place_of) opened(done, place_of[fd]);
    return done;
}

#define ON_FD(kind, result, name, parameters, arguments)       \
    result name parameters {                                   \
        if (fd_fails(fd, kind)) return -1;                     \
        return NEXT(name) arguments;                           \
    }
#define ON_FD_AT(name, offset)                                  \
    ssize_t name(int fd, const void *b, size_t n, offset at) { \
        wait_if_small(fd, n);                                  \
        if (fd_fails(fd, WRITES)) return -1;                   \
        return NEXT(name)(fd, b, n, at);                       \
    }
ON_FD(WRITES, ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
ON_FD(WRITES, ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
ON_FD_AT(pwrite, off_t)
ON_FD_AT(pwrite64, off64_t)
ON_FD(WRITES, int, ftruncate, (int fd, off_t n), (fd, n))
ON_FD(WRITES, int, ftruncate64, (int fd, off64_t n), (fd, n))
/* Whether a read of `n` bytes from `at` on is one that may fail. */
static int touches(int64_t at, size_t n) {
    int64_t spot = control->spot - 1;
    return spot < 0 || (at <= spot && spot < at + (int64_t)n);
}
static int64_t here(int fd) { return control->spot ? lseek(fd, 0, SEEK_CUR) : 0; }

#define READ(name, parameters, arguments, at, length)                          \
    ssize_t name parameters {                                                  \
        if (touches(at, length) && fd_fails(fd, READS)) return -1;             \
        return NEXT(name) arguments;                                           \
    }
READ(read, (int fd, void *b, size_t n), (fd, b, n), here(fd), n)
READ(readv, (int fd, const struct iovec *v, int n), (fd, v, n), here(fd), v->iov_len)
READ(pread, (int fd, void *b, size_t n, off_t at), (fd, b, n, at), at, n)
READ(pread64, (int fd, void *b, size_t n, off64_t at), (fd, b, n, at), at, n)
ON_FD(SYNCS, int, fsync, (int fd), (fd))
ON_FD(SYNCS, int, fdatasync, (int fd), (fd))
ON_FD(SYNCS, int, sync_file_range, (int fd, off64_t at, off64_t n, unsigned f), (fd, at, n, f))

#define ON_NAME(name, parameters, arguments, path)              \
    int name parameters {                                       \
        if (fails(place(path), NAMES)) return -1;               \
        return NEXT(name) arguments;                            \
    }
ON_NAME(rename, (const char *from, const char *to), (from, to), to)
ON_NAME(unlink, (const char *path), (path), path)
ON_NAME(rmdir, (const char *path), (path), path)
ON_NAME(link, (const char *from, const char *to), (from, to), to)
ON_NAME(linkat, (int a, const char *from, int b, const char *to, int how), (a, from, b, to, how), to)
ON_NAME(mkdir, (const char *path, mode_t mode), (path, mode), path)

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = NEXT(clock_gettime)(clock, now);
    if (!done && clock == CLOCK_REALTIME) now->tv_sec += control->clock_s;
    return done;
}
