package sandbox

const sysSetns = 308 // arch/x86/entry/syscalls/syscall_64.tbl
