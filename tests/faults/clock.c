/* A clock that can be set for one process: what the system's says, and as many seconds as a file holds. Debian's
 * libfaketime allocates before an allocator that is linked in is ready; this allocates nothing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int failed = syscall(SYS_clock_gettime, clock, time);
    const char *path = getenv("FAULTS_CLOCK");
    if (failed || clock != CLOCK_REALTIME || !path)
        return failed;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    char text[32] = {0};
    if (read(file, text, sizeof text - 1) > 0)
        time->tv_sec += atol(text);
    close(file);
    return 0;
}
