package sandbox

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// File is a file that is seen in the place of another, until the other is
// replaced. Its mount's options are the source's: a source on a mount with
// noexec cannot be executed, whatever the target's mount allows.
type File struct{ Source, Target string } // absolute; both regular files

// BoundConfig says what to start, and what it sees in the place of what.
type BoundConfig struct {
	Argv []string // argv[0] as typed; at least one word
	Path string   // the program file, see [LookPath]; relative to Dir if not absolute
	Env  []string // KEY=value; nil is none, not the caller's
	Dir  string   // working directory; "" is the caller's

	Way   Way    // [Root] or [UserNS], as [ProbeBound] says; "" is what it would say
	Files []File // mounted before the program starts, in this order; at most 65535

	// Exec is told of each execve(2) and execveat(2) of the program and its
	// descendants but the program's own, before it takes place, if the file is
	// there; what it returns is unmounted and mounted first, and of unbind
	// only what it, or Files, had bound. For a process that has made itself a mount namespace or
	// a chroot nothing is mounted. It is called by one goroutine at a time, and
	// meanwhile all execs wait. nil: nobody asks.
	Exec func(*Exec) (bind []File, unbind []string)
	// Failed is told what of it could not be done; the exec takes place all the
	// same. nil: nobody wants to know.
	Failed func(error)
}

// ProbeBound finds the way to bind files here. The error is an
// [*UnsupportedError]. For a user it takes a fork; [StartBound] with no Way
// finds out as it goes.
func ProbeBound() (Way, error) {
	creds, err := readCredentials()
	if err != nil {
		return "", &UnsupportedError{What: privateMounts, Reasons: []string{err.Error()}, Hint: "mount /proc"}
	}
	if creds.may(capSysAdmin) {
		return Root, nil
	}
	if step, err := tryClone(creds); err != nil {
		return "", unsupportedBound(step, err, creds)
	}
	return UserNS, nil
}

const privateMounts = "no file can be mounted in private here"

func unsupportedBound(step string, err error, creds credentials) error {
	why, hint := explainUserNS(step, err, creds)
	return &UnsupportedError{What: privateMounts, Reasons: []string{why}, Hint: hint}
}

// StartBound starts the program in a mount namespace of its own, where the
// files are mounted over others. What the host mounts later appears there too,
// and nothing of it outside. It returns once the program runs, or with the reason why
// it does not: a [*StepError] as of [Start], or an [*UnsupportedError].
//
// The child becomes the program without a stage in between, so that all of it
// takes little longer than a fork and an exec.
//
// # What differs from alone, if Exec is set
//
//   - /proc/PID/status shows a seccomp filter, and no process may install one with
//     a listener of its own (EBUSY: seccomp(2)); SECCOMP_RET_TRACE for execve has no effect.
//   - While main is stopped, execs wait.
//   - Processes that are left when the program ends are served by a small
//     process, "compat: keeper". If main is killed by SIGKILL before, their execve(2)
//     fails with ENOSYS from then on (seccomp_unotify(2)).
func StartBound(cfg BoundConfig) (*Process, error) {
	if len(cfg.Argv) == 0 || cfg.Path == "" || len(cfg.Files) > 65535 {
		return nil, errors.New("sandbox: no program, or too many files")
	}
	s := &boundStarter{cfg: cfg, listener: -1}
	return s.begin(cfg.Way, syscall.SOCK_SEQPACKET, s)
}

// Watched says whether Exec is told of execs, and else why not: another
// listener exists already (EBUSY), or the kernel or a container forbids it.
func (p *Process) Watched() (bool, error) { return p.watcher != nil, p.unwatched }

// boundStarter is StartBound's.
type boundStarter struct {
	starter
	cfg      BoundConfig
	bound    boundChild
	keep     [][]*byte // the memory behind **byte
	listener listener
}

func (s *boundStarter) prepare() error {
	if s.way == "" {
		s.way = UserNS
		if s.creds.may(capSysAdmin) {
			s.way = Root
		}
	}
	s.listen() // the child itself needs to know what is ignored
	s.child = newChild()
	// A slave: file servers that are mounted on demand go on appearing inside.
	s.child.propagation = syscall.MS_REC | syscall.MS_SLAVE
	s.child.flags = syscall.CLONE_NEWNS
	if s.cfg.Exec != nil {
		s.p.unwatched = watchable()
		s.gated = s.p.unwatched == nil
	}
	switch s.way {
	case Root:
		return nil
	case UserNS:
		s.child.flags |= syscall.CLONE_NEWUSER
		s.bound.restoreCaps = true
		var err error
		s.maps, err = newIDMaps(s.creds)
		return err
	}
	return errors.New("sandbox: way " + string(s.way) + " binds no files")
}

func (s *boundStarter) arm(int) error {
	b := &s.bound
	b.creds = s.creds
	b.prepare()
	for _, f := range s.cfg.Files {
		if !isAbs(f.Source) || !isAbs(f.Target) {
			return stepError("mount --bind", f.Target, syscall.EINVAL)
		}
		b.binds = append(b.binds, bindArgs{cstring(f.Source), cstring(f.Target)})
	}
	if s.cfg.Dir != "" {
		b.dir = cstring(s.cfg.Dir)
	}
	b.path, b.shell = cstring(s.cfg.Path), cstring("/bin/sh")
	var err error
	list := func(words []string) **byte {
		l, e := syscall.SlicePtrFromStrings(words)
		if err = errors.Join(err, e); err != nil {
			return nil
		}
		s.keep = append(s.keep, l)
		return &l[0]
	}
	b.argv, b.envv = list(s.cfg.Argv), list(s.cfg.Env)
	b.shArgv = list(append([]string{"/bin/sh", s.cfg.Path}, s.cfg.Argv[1:]...))
	if err != nil {
		return stepError(stepExec, s.cfg.Path, syscall.EINVAL)
	}
	if s.gated {
		b.filter = execFilter(b.path, b.shell)
	}
	s.child.bound = b
	return nil
}

func isAbs(path string) bool { return path != "" && path[0] == '/' }

// talk hears of failures. The socket's end is the exec: execve(2) closes the
// other one.
func (s *boundStarter) talk() error {
	message := make([]byte, 16)
	for {
		n, files, err := receive(s.p.socket, message)
		if err != nil {
			closeAll(files)
			return stepError("receive", "", err)
		}
		if n == 0 {
			return nil
		}
		if err := s.hear(message[:n], files); err != nil {
			return err
		}
	}
}

func (s *boundStarter) hear(message []byte, files []*os.File) error {
	defer closeAll(files)
	if len(message) < 7 {
		return stepError("receive", "", syscall.EPROTO)
	}
	step, errno := message[5], syscall.Errno(message[6])
	if message[0] == frameListener {
		if errno != 0 || len(files) != 1 {
			s.p.unwatched = &StepError{"seccomp listener", "", errno}
			return nil
		}
		// A File would close it when it is collected.
		fd, err := dupCloexec(int(files[0].Fd()), 3)
		if err != nil {
			return stepError("dup", "", err)
		}
		s.listener = listener(fd)
		return nil
	}
	path := ""
	switch {
	case step == childBind && len(message) == 9:
		path = s.cfg.Files[int(message[7])|int(message[8])<<8].Target
	case step == childChdir:
		path = s.cfg.Dir
	case step == childProgram:
		path = s.cfg.Path
	}
	return &StepError{childStep(step), path, errno}
}

// cloned opens what a mounter joins, while the child is sure to be there.
func (s *boundStarter) cloned() (err error) {
	if s.bound.filter == nil {
		return nil
	}
	if s.p.view, err = openNamespaces(s.p.pid); err != nil {
		return stepError("open namespaces", "", err)
	}
	s.p.view.Root, err = openRoot(s.p.pid)
	return err
}

func (s *boundStarter) finish(err error) error {
	runtime.KeepAlive(s.keep)
	if err == nil && s.listener >= 0 {
		s.p.watcher = newWatcher(s.listener, &s.p.view, &s.cfg)
		go s.p.watcher.run()
		return nil
	}
	if s.listener >= 0 {
		syscall.Close(int(s.listener))
	}
	var step *StepError
	if s.way == UserNS && errors.As(err, &step) {
		switch step.Step {
		case "clone", "write", childStep(childPropagation):
			return unsupportedBound(step.Step, step.Errno, s.creds)
		}
	}
	return err
}
