package sandbox

import (
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// stageName is argv[0] of a stage. Its one argument is the number of the
// descriptor that leads to main.
const stageName = "compat: stage"

// Stage is the whole life of the process if it is a stage, or a keeper, and
// nothing if it is not. It is to be called before anything that takes time is initialized.
//
// A stage is known by its argv[0], and by a socket under the number that is its
// argument; who starts one by hand gets exit status 125.
func Stage() {
	if len(os.Args) != 2 || os.Args[0] != stageName && os.Args[0] != keeperName {
		return
	}
	// The capabilities, the signal mask and the exec are this thread's.
	runtime.LockOSThread()
	fd, err := strconv.Atoi(os.Args[1])
	if err != nil || fd < 3 {
		os.Exit(125)
	}
	if os.Args[0] == keeperName {
		keep(fd)
	}
	syscall.CloseOnExec(fd)
	s := &stage{main: fd, server: -1, fuse: -1, old: -1}
	s.fail(s.run())
	os.Exit(125)
}

// stage is the state of the process between its exec and the program's.
type stage struct {
	task
	main, server, fuse int
	old                int // O_PATH of the working directory as it was
	mount              string
	holes              []hole
	unrecorded         []string
}

func (s *stage) run() error {
	if err := s.receive(); err != nil {
		return err
	}
	// The working directory may be one that no path leads to.
	var err error
	if s.old, err = syscall.Open(".", oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0); err != nil {
		s.old = -1
	}
	if s.join {
		if err := s.enter(); err != nil {
			return err
		}
	} else if err := s.makeView(); err != nil {
		return err
	}
	if err := s.chdir(); err != nil {
		return err
	}
	if s.server >= 0 {
		message := (&Started{PID: os.Getpid(), Unrecorded: s.unrecorded}).encode()
		if err := ask(s.server, message); err != nil {
			return stepError("start recording", "", err)
		}
	}
	s.lookUp()
	return s.exec()
}

// lookUp has the kernel learn names. What is not there is the program's to find.
func (s *stage) lookUp() {
	const threads = 8
	n := min(threads, len(s.ahead))
	done := make(chan struct{}, n)
	for i := range n {
		go func() {
			var st syscall.Stat_t
			for j := i; j < len(s.ahead); j += n {
				_ = syscall.Lstat(s.ahead[j], &st)
			}
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
}

// receive gets the task, and with it the descriptors: the server's socket, or
// the view's root to join, and of way fusermount the one of /dev/fuse.
func (s *stage) receive() error {
	head := make([]byte, 4)
	n, files, err := receive(s.main, head)
	if err != nil || n != len(head) {
		return stepError("receive", "", syscall.EPROTO)
	}
	fds := make([]int, len(files))
	for i, f := range files {
		// A File would be closed when it is collected.
		if fds[i], err = dupCloexec(int(f.Fd()), 3); err != nil {
			return stepError("receive", "", err)
		}
		f.Close()
	}
	text := make([]byte, binary.LittleEndian.Uint32(head))
	for at := 0; at < len(text); {
		n, _, err := receive(s.main, text[at:])
		if err != nil || n == 0 {
			return stepError("receive", "", syscall.EPROTO)
		}
		at += n
	}
	t, ok := decodeTask(text)
	if !ok || len(fds) < 1 || (t.way == Fusermount && !t.join) != (len(fds) == 2) {
		return stepError("receive", "", syscall.EPROTO)
	}
	s.task, s.server = *t, fds[0]
	if len(fds) == 2 {
		s.fuse = fds[1]
	}
	return nil
}

// enter makes the root of the joined view ours; the namespaces are already.
func (s *stage) enter() error {
	root := s.server
	s.server = -1
	defer syscall.Close(root)
	var theirs, ours syscall.Stat_t
	if syscall.Fstat(root, &theirs) == nil && syscall.Stat("/", &ours) == nil && theirs.Dev == ours.Dev && theirs.Ino == ours.Ino {
		return nil
	}
	if err := syscall.Fchdir(root); err != nil {
		return stepError("fchdir", "/", err)
	}
	return stepError("chroot", "/", syscall.Chroot("."))
}

// chdir goes to the working directory through the view. Where no path leads
// there, or the program may not walk it, it stays where it was: alone it could
// work there too.
func (s *stage) chdir() error {
	if s.dir != "" {
		if err := syscall.Chdir(s.dir); err == nil || s.mustDir {
			return stepError("chdir", s.dir, err)
		}
	}
	if s.old >= 0 && syscall.Fchdir(s.old) == nil {
		s.unrecorded = append(s.unrecorded, ".")
	}
	return nil
}

// exec becomes the program. It returns where that is impossible.
func (s *stage) exec() error {
	if s.caps {
		if err := s.creds.restore(); err != nil {
			return stepError("restore capabilities", "", err)
		}
	}
	if err := s.send(frameExec, nil); err != nil {
		return err
	}
	s.creds.restoreSignals()
	err := execve(s.path, s.argv, s.env)
	return stepError(stepExec, s.path, err)
}

// execve is execvp(3) after its search: a file that the kernel does not know is
// given to the shell. syscall.Exec gives RLIMIT_NOFILE back, which Go raises.
func execve(path string, argv, env []string) error {
	err := syscall.Exec(path, argv, env)
	if err == syscall.ENOEXEC {
		err = syscall.Exec("/bin/sh", append([]string{"/bin/sh", path}, argv[1:]...), env)
	}
	return err
}

func (s *stage) send(kind byte, payload []byte) error {
	b := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	return send(s.main, append(b, payload...))
}

// fail tells main. Where main is gone nobody wants to know.
func (s *stage) fail(err error) {
	var e encoder
	step, _ := err.(*StepError)
	if step == nil {
		step = &StepError{}
	}
	e.text(step.Step)
	e.text(step.Path)
	e.num(uint64(step.Errno))
	e.text(err.Error())
	_ = s.send(frameError, e)
}

// dupCloexec duplicates a descriptor to the lowest free number from least on.
func dupCloexec(fd, least int) (int, error) {
	n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, uintptr(least))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
