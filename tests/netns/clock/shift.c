// Preloaded into the daemons of a test: the wall clock of one program stands as many seconds off as a file says, from
// one reading to the next. All other clocks and timers are the machine's, so that a program sleeps as long as ever.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// Seconds, as the file has them now; nothing in a program that is not meant.
static const volatile long long *off;

__attribute__((constructor)) static void find_file(void) {
    const char *file = getenv("CLOCK_SHIFT"), *program = getenv("CLOCK_SHIFT_OF");
    if (file == NULL || program == NULL || strcmp(program_invocation_short_name, program) != 0) {
        return;
    }
    int open_file = open(file, O_RDONLY | O_CLOEXEC);
    void *memory = mmap(NULL, sizeof *off, PROT_READ, MAP_SHARED, open_file, 0);
    // A test whose clock does not turn must not pass.
    if (memory == MAP_FAILED) {
        abort();
    }
    close(open_file);
    off = memory;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && off != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        time->tv_sec += *off;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    int result = (int)syscall(SYS_gettimeofday, time, zone);
    if (result == 0 && off != NULL) {
        time->tv_sec += *off;
    }
    return result;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL) {
        *result = now.tv_sec;
    }
    return now.tv_sec;
}
