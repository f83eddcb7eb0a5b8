#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

extern int who(void) __attribute__((weak));

static int show(struct dl_phdr_info *info, size_t size, void *data) {
  if (!strstr(info->dlpi_name, "vdso"))
    printf("map %s\n", info->dlpi_name);
  return 0;
}

/* Says what is mapped, which library it is bound to, and opens its arguments. */
int main(int argc, char **argv) {
  dl_iterate_phdr(show, 0);
  printf("who %d\n", who ? who() : -1);
  for (int i = 1; i < argc; i++) {
    void *h = dlopen(argv[i], RTLD_NOW);
    printf("dlopen %s %s\n", argv[i], h ? "ok" : dlerror());
  }
  printf("then\n");
  dl_iterate_phdr(show, 0);
  return 3;
}
