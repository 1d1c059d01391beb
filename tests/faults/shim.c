/* A disk that fails when a test says so: preloaded into one process, it stands between that process and the C library,
 * for the files whose path matches NEURALOPS_FAULTS_FILES (a shell pattern). The file NEURALOPS_FAULTS_CONTROL says what
 * is wrong with them, and may say something else at any moment:
 *
 *   enospc       writing fails: the disk is full
 *   eio          syncing fails
 *   delay MS     syncing takes so many milliseconds longer
 *
 * Anything else, or no such file: nothing is wrong. Every fault that was really met is one byte in CONTROL.met.
 *
 * A failed fsync is worse than it looks: Linux takes the pages for written afterwards, and whoever reads them sees what
 * no disk has. CONTROL.lost holds what the disk has instead, page by page (256 bytes of path, 8 of page number, 4096 of
 * content), for those pages that were not written and synced again since; a test puts them into the files, as a power
 * cut would. The next process with the same CONTROL goes on with them: the kernel outlives its processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

/* --- what the test says: raw system calls, because the C library's own are ours here */

enum fault { NONE, ENOSPC_ON_WRITE, EIO_ON_SYNC, DELAY_ON_SYNC };

static const char *named(const char *variable) { return getenv(variable); }

static enum fault told(long *milliseconds) {
  const char *control = named("NEURALOPS_FAULTS_CONTROL");
  char text[64] = "";
  if (!control) return NONE;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return NONE;
  ssize_t count = syscall(SYS_read, fd, text, sizeof text - 1);
  syscall(SYS_close, fd);
  if (count <= 0) return NONE;
  text[count] = 0;
  if (!strncmp(text, "enospc", 6)) return ENOSPC_ON_WRITE;
  if (!strncmp(text, "eio", 3)) return EIO_ON_SYNC;
  if (sscanf(text, "delay %ld", milliseconds) == 1) return DELAY_ON_SYNC;
  return NONE;
}

static void beside(char *path, const char *ending) {
  snprintf(path, PATH_MAX, "%s%s", named("NEURALOPS_FAULTS_CONTROL"), ending);
}

static void met(void) {
  char path[PATH_MAX];
  beside(path, ".met");
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  syscall(SYS_write, fd, "x", 1);
  syscall(SYS_close, fd);
}

/* --- which files */

static int ours(int fd, char *path) {
  const char *pattern = named("NEURALOPS_FAULTS_FILES");
  char link[64];
  if (!pattern) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, (size_t)PATH_MAX - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return !fnmatch(pattern, path, 0);
}

/* --- pages between a write and the sync that makes them durable */

struct page {
  struct page *next;
  dev_t device;
  ino_t inode;
  off_t number;
  int lost;      /* its sync failed, and none that followed a new write has succeeded since */
  int rewritten; /* it is written again, and the next sync that succeeds has it */
  char path[256];
  char disk[PAGE]; /* what the disk has */
};

static struct page *pages;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct page *find(const struct stat *file, off_t number) {
  for (struct page *page = pages; page; page = page->next)
    if (page->inode == file->st_ino && page->device == file->st_dev && page->number == number) return page;
  return NULL;
}

static void write_lost(void) {
  char path[PATH_MAX], next[PATH_MAX];
  beside(path, ".lost");
  beside(next, ".lost.next");
  int fd = (int)syscall(SYS_openat, AT_FDCWD, next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  for (struct page *page = pages; page; page = page->next) {
    if (!page->lost) continue;
    long long number = page->number;
    syscall(SYS_write, fd, page->path, sizeof page->path);
    syscall(SYS_write, fd, &number, sizeof number);
    syscall(SYS_write, fd, page->disk, (size_t)PAGE);
  }
  syscall(SYS_close, fd);
  syscall(SYS_renameat2, AT_FDCWD, next, AT_FDCWD, path, 0);
}

static void forget(const struct stat *file, off_t from) {
  int changed = 0;
  pthread_mutex_lock(&lock);
  for (struct page **at = &pages; *at;) {
    struct page *page = *at;
    if (page->inode == file->st_ino && page->device == file->st_dev && page->number * PAGE >= from) {
      changed |= page->lost;
      *at = page->next;
      free(page);
    } else {
      at = &page->next;
    }
  }
  if (changed) write_lost();
  pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void go_on(void) {
  char path[PATH_MAX], name[256];
  struct stat file;
  long long number;
  if (!named("NEURALOPS_FAULTS_CONTROL")) return;
  beside(path, ".lost");
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return;
  while (syscall(SYS_read, fd, name, sizeof name) == sizeof name) {
    struct page *page = calloc(1, sizeof *page);
    if (!page) abort();
    syscall(SYS_read, fd, &number, sizeof number);
    syscall(SYS_read, fd, page->disk, (size_t)PAGE);
    if (stat(name, &file)) {
      free(page);
      continue;
    }
    memcpy(page->path, name, sizeof name);
    page->device = file.st_dev;
    page->inode = file.st_ino;
    page->number = number;
    page->lost = 1;
    page->next = pages;
    pages = page;
  }
  syscall(SYS_close, fd);
}

static void before_write(int fd, const char *path, off_t at, size_t count) {
  struct stat file;
  if (!count || fstat(fd, &file)) return;
  pthread_mutex_lock(&lock);
  for (off_t number = at / PAGE; number <= (at + (off_t)count - 1) / PAGE; number++) {
    struct page *page = find(&file, number);
    if (page) {
      page->rewritten = 1;
      continue;
    }
    page = calloc(1, sizeof *page);
    if (!page) abort();
    page->device = file.st_dev;
    page->inode = file.st_ino;
    page->number = number;
    snprintf(page->path, sizeof page->path, "%s", path);
    /* What is beyond the end reads as nothing, which is what is there. Only a descriptor for writing needs another one:
     * to close any of a file lets go of all locks that the process has on it, and SQLite holds some on its -shm file, by
     * which the next process to open it knows that it may not make it anew. */
    if (syscall(SYS_pread64, fd, page->disk, (size_t)PAGE, number * PAGE) < 0) {
      int reading = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
      if (reading >= 0) {
        syscall(SYS_pread64, reading, page->disk, (size_t)PAGE, number * PAGE);
        syscall(SYS_close, reading);
      }
    }
    page->next = pages;
    pages = page;
  }
  pthread_mutex_unlock(&lock);
}

static void after_sync(int fd, int failed) {
  struct stat file;
  if (fstat(fd, &file)) return;
  pthread_mutex_lock(&lock);
  int changed = failed;
  for (struct page **at = &pages; *at;) {
    struct page *page = *at;
    int here = page->inode == file.st_ino && page->device == file.st_dev;
    if (here && failed) page->lost = 1, page->rewritten = 0;
    if (here && !failed && (!page->lost || page->rewritten)) {
      changed |= page->lost;
      *at = page->next;
      free(page);
    } else {
      at = &page->next;
    }
  }
  if (changed) write_lost();
  pthread_mutex_unlock(&lock);
}

/* --- the calls */

static int full(int fd, const char *path, off_t at, size_t count) {
  long unused;
  if (told(&unused) != ENOSPC_ON_WRITE) {
    before_write(fd, path, at, count);
    return 0;
  }
  met();
  errno = ENOSPC;
  return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  char path[PATH_MAX];
  if (ours(fd, path) && full(fd, path, lseek(fd, 0, SEEK_CUR), count)) return -1;
  return syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  char path[PATH_MAX];
  if (ours(fd, path) && full(fd, path, at, count)) return -1;
  return syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

static int sync_by(long call, int fd) {
  char path[PATH_MAX];
  long milliseconds = 0;
  if (!ours(fd, path)) return (int)syscall(call, fd);
  switch (told(&milliseconds)) {
    case EIO_ON_SYNC:
      met();
      after_sync(fd, 1);
      errno = EIO;
      return -1;
    case DELAY_ON_SYNC: {
      struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
      met();
      while (nanosleep(&time, &time)) {
      }
      break;
    }
    case ENOSPC_ON_WRITE:
    case NONE: break;
  }
  int status = (int)syscall(call, fd);
  after_sync(fd, status != 0);
  return status;
}

int fsync(int fd) { return sync_by(SYS_fsync, fd); }

int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

int ftruncate64(int fd, off64_t size) {
  char path[PATH_MAX];
  struct stat file;
  int status = (int)syscall(SYS_ftruncate, fd, size);
  if (!status && ours(fd, path) && !fstat(fd, &file)) forget(&file, size);
  return status;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
  struct stat file;
  int there = !stat(path, &file);
  int status = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (!status && there && file.st_nlink == 1) forget(&file, 0);
  return status;
}
