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

// Of seccomp listeners: include/uapi/linux/seccomp.h, seccomp_unotify(2).
const (
	seccompSetModeFilter     = 1
	seccompGetActionAvail    = 2
	seccompSpecAllow         = 1 << 2
	seccompNewListener       = 1 << 3
	seccompWaitKillable      = 1 << 5 // Linux 5.19
	seccompRetAllow          = 0x7fff0000
	seccompRetUserNotif      = 0x7fc00000
	seccompContinue          = 1
	ioctlNotifRecv           = 0xc0502100
	ioctlNotifSend           = 0xc0182101
	ioctlNotifIDValid        = 0x40082102
	ioctlNotifSetFlags       = 0x40082104 // Linux 6.6
	seccompSyncWakeUp        = 1
	sysCloseRange            = 436 // Linux 5.9
	pollIn, pollErr, pollHup = 1, 8, 16
)
