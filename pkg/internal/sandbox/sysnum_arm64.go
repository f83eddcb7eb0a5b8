package sandbox

const sysSetns = 268 // include/uapi/asm-generic/unistd.h
