package sandbox

// System calls and constants that package syscall lacks. From 424 on numbers
// are the same everywhere (Documentation/process/adding-syscalls.rst).
const (
	sysMountSetattr = 442 // Linux 5.12
	sysFaccessat2   = 439 // Linux 5.8

	atFDCWD        = -0x64
	atRecursive    = 0x8000
	atEaccess      = 0x200
	atEmptyPath    = 0x1000
	mountAttrRO    = 1
	oPath          = 0x200000
	umountNoFollow = 8
	mntDetach      = 2

	prSetPdeathsig  = 1
	prCapbsetRead   = 23
	prCapbsetDrop   = 24
	prCapAmbient    = 47
	ambientRaise    = 2
	ambientClearAll = 4
	capVersion3     = 0x20080522
	capSetGID       = 6
	capSetUID       = 7
	capSetPcap      = 8
	capSysChroot    = 18
	capSysAdmin     = 21
	waitPID         = 1 // P_PID
	waitNoWait      = 0x1000000
	sigSetSize      = 8
	sigCount        = 64
	sigBlock        = 0 // SIG_BLOCK of rt_sigprocmask(2)
	sigSetMask      = 2
	sigIgnore       = 1 // SIG_IGN
	cldExited       = 1
	cldKilled       = 2
	cldDumped       = 3
	cldStopped      = 5
	waitStopped     = 2 // WSTOPPED
	waitExited      = 4 // WEXITED
	ioctlGetpgrp    = 0x540f
)
