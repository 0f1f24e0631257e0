/* Asks for the time in three threads without a pause, with a signal handler that does the same, in two of them on a stack of its
   own. The last one takes no signal any more once it was interrupted while it asked, so that what the kernel left on that stack
   stays there for ever, as on those of idle threads of Go programs; ends with a code where it is told
   what cannot be: a monotonic clock that goes back, or a part of a second that is none. Every second it says how often it asked. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile unsigned long calls, handled;

static long monotonic(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) || t.tv_nsec < 0 || t.tv_nsec >= 1000000000L)
        _exit(3);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static __thread int taciturn;

static void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
    unsigned long at = interrupted->uc_mcontext.gregs[REG_RIP] - (unsigned long)vdso;
    if (taciturn && at < 8192 && memmem(vdso, 8192, "chaosclk", 8)) /* in the functions of a false clock */
        sigaddset(&interrupted->uc_sigmask, SIGALRM);
    long began = monotonic();
    while (monotonic() - began < 300000)
        handled++;
}

static void *ask(void *apart)
{
    char handlers_stack[32768];
    stack_t stack = {.ss_sp = handlers_stack, .ss_size = sizeof handlers_stack};
    struct timespec t;
    if (apart)
        sigaltstack(&stack, NULL);
    taciturn = apart == (void *)2;
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
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    struct itimerval every_10_ms = {{0, 10000}, {0, 10000}};
    pthread_t thread;
    sigset_t timer = {0};
    struct timespec t;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every_10_ms, NULL);
    for (long i = 0; i < 3; i++)
        pthread_create(&thread, NULL, ask, (void *)i);
    sigaddset(&timer, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &timer, NULL); /* the kernel would let this thread have them all */
    for (;;) {
        sleep(1);
        clock_gettime(CLOCK_REALTIME, &t);
        printf("%lu %lu %ld\n", calls, handled, (long)t.tv_sec);
        fflush(stdout);
    }
}
