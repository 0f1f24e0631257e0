/* Asks for the time in two threads without a pause, with a signal handler that does the same; ends with a code where it is told
   what cannot be: a monotonic clock that goes back, or a part of a second that is none. Every second it says how often it asked. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long calls, handled;

static long monotonic(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) || t.tv_nsec < 0 || t.tv_nsec >= 1000000000L)
        _exit(3);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void on_signal(int number)
{
    long began = monotonic();
    while (monotonic() - began < 300000)
        handled++;
}

static void *ask(void *unused)
{
    struct timespec t;
    struct timeval v;
    long last = 0, now;
    for (;;) {
        if (clock_gettime(CLOCK_REALTIME, &t) || t.tv_nsec < 0 || t.tv_nsec >= 1000000000L)
            _exit(4);
        if (gettimeofday(&v, NULL) || v.tv_usec < 0 || v.tv_usec >= 1000000L)
            _exit(5);
        if (time(NULL) < 1000000000L)
            _exit(6);
        now = monotonic();
        if (now < last)
            _exit(7);
        last = now;
        calls++;
    }
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct itimerval every_ms = {{0, 1000}, {0, 1000}};
    pthread_t thread;
    struct timespec t;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every_ms, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&thread, NULL, ask, NULL);
    for (;;) {
        sleep(1);
        clock_gettime(CLOCK_REALTIME, &t);
        printf("%lu %lu %ld\n", calls, handled, (long)t.tv_sec);
        fflush(stdout);
    }
}
