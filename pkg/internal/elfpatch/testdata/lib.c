#include <stdio.h>

#define J2(a, b) a##b
#define J(a, b) J2(a, b)
#define REF(n) extern int J(fn, n)(void) __attribute__((weak));
REF(0) REF(1) REF(2) REF(3) REF(4) REF(5) REF(6) REF(7) REF(8) REF(9)

static __thread int tls = ID;

int who(void) { return ID; } /* every library has it: the first in the scope wins */

int J(fn, ID)(void) { return 1 << ID; }

/* What it prints depends on when it runs, and on what it is bound to. */
__attribute__((constructor)) static void up(void) {
  int sum = 0;
#define ADD(n) sum += J(fn, n) ? J(fn, n)() : 0;
  ADD(0) ADD(1) ADD(2) ADD(3) ADD(4) ADD(5) ADD(6) ADD(7) ADD(8) ADD(9)
  printf("up %d tls %d who %d sum %x\n", ID, tls, who(), sum);
}

__attribute__((destructor)) static void down(void) { printf("down %d\n", ID); }
