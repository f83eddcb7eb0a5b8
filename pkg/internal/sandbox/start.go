package sandbox

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// Process is a started program. Main is to call Wait, which also passes
// signals on and keeps job control.
type Process struct {
	pid    int
	socket int  // to the stage, until it has become the program
	view   View // UserNS and MountNS
	signal *forwarder
	frames []byte

	watcher   *watcher // of StartBound with Exec, where that is possible
	unwatched error

	mu     sync.Mutex
	reaped bool
	ended  chan struct{}
	status syscall.WaitStatus
	err    error
}

// Start starts the program, and returns once it runs, or with the reason why it
// does not: a [*StepError], whose step is "exec" where the program itself is to
// blame. A stage that failed has been waited for.
func Start(cfg Config) (*Process, error) {
	if len(cfg.Argv) == 0 || cfg.Path == "" || (cfg.Server == nil) == (cfg.Join == nil) {
		return nil, errors.New("sandbox: no program, or no server")
	}
	s := &viewStarter{Config: cfg}
	return s.begin(cfg.Way, syscall.SOCK_STREAM, s)
}

// starter is the state of a start, on the thread that is the child's parent.
type starter struct {
	steps
	way    Way
	socket int // the type of the one to the child
	creds  credentials
	p      *Process
	child  child
	maps   idMaps
	gated  bool // the child has a gate in any case
}

// steps are what a way to start has of its own.
type steps interface {
	prepare() error         // decides what the child is to do
	arm(theirs int) error   // gives it the rest, with its end of the socket
	cloned() error          // is called while the child waits at its gate, if it has one
	talk() error            // hears how it goes, until the program runs
	finish(err error) error // after all, with the start's own error
}

func (s *starter) begin(way Way, socket int, steps steps) (*Process, error) {
	s.steps, s.way, s.socket = steps, way, socket
	var err error
	if s.creds, err = readCredentials(); err != nil {
		return nil, err
	}
	s.p = &Process{ended: make(chan struct{}), socket: -1}
	started := make(chan error)
	go s.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return s.p, nil
}

// viewStarter is Start's.
type viewStarter struct {
	starter
	Config
	task  task
	files []int // for the stage, beside the task
	mount *fusermounted
}

func (s *starter) run(started chan<- error) {
	// The stage is killed when this thread ends (PR_SET_PDEATHSIG in prctl(2)),
	// so that it stays until the program has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if s.way == Fusermount {
		// A signal must not end main while there is a mount to remove.
		s.listen()
		s.listening()
	}
	err := s.start()
	if err != nil {
		if s.p.signal != nil {
			s.p.signal.stop()
		}
	} else {
		go s.p.signal.run()
	}
	started <- err
	if err == nil {
		s.p.watch()
	}
}

// listen begins to take signals over, once it is known which are ignored.
func (s *starter) listen() {
	if s.p.signal == nil {
		s.creds.ignored = ignoredSignals(s.creds.ignored)
		s.p.signal = newForwarder(s.p, s.creds)
		go s.p.signal.listen()
	}
}

// listening waits for it, if it has begun. Before a program runs, main must have
// its handlers: a ^Z that the program ignores would stop main alone.
func (s *starter) listening() {
	if s.p.signal != nil {
		<-s.p.signal.ready
	}
}

func (s *starter) start() (err error) {
	restoreNofile()
	if err := s.prepare(); err != nil {
		return err
	}
	defer func() { err = s.finish(err) }()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, s.socket|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return stepError("socketpair", "", err)
	}
	defer syscall.Close(pair[0])
	// A high number: those above 2 are the program's, as main inherited them.
	theirs, err := dupCloexec(pair[1], 100)
	if err != nil {
		theirs, err = dupCloexec(pair[1], 3)
	}
	syscall.Close(pair[1])
	if err != nil {
		return stepError("dup", "", err)
	}
	s.p.socket = pair[0]
	gate := [2]int{-1, -1}
	if s.gated || s.child.flags&syscall.CLONE_NEWUSER != 0 {
		if err := syscall.Pipe2(gate[:], syscall.O_CLOEXEC); err != nil {
			syscall.Close(theirs)
			return stepError("pipe", "", err)
		}
	}
	if gate[0] < 0 {
		s.listening()
	}
	err = s.clone(theirs, gate)
	syscall.Close(theirs)
	if gate[0] >= 0 {
		syscall.Close(gate[0])
		if err == nil {
			if s.child.flags&syscall.CLONE_NEWUSER != 0 {
				err = s.maps.write(s.p.pid)
			}
			if err == nil {
				err = s.cloned()
			}
			if err == nil {
				s.listening()
				_, err = syscall.Write(gate[1], []byte{0})
			}
		}
		syscall.Close(gate[1])
	}
	if s.p.pid == 0 {
		return err
	}
	if err == nil {
		err = s.talk()
	}
	if err != nil {
		syscall.Kill(s.p.pid, syscall.SIGKILL)
		s.p.reap()
		s.p.closeView()
	}
	return err
}

func (s *viewStarter) finish(err error) error {
	// Also where all went well, unless the stage had it taken away already.
	if s.mount != nil {
		return errors.Join(err, s.mount.remove())
	}
	return err
}

func (s *viewStarter) cloned() error { return nil }

// prepare decides what the stage is to do.
func (s *viewStarter) prepare() error {
	s.task = task{
		argv: s.Argv, env: s.Env, path: s.Path, dir: s.Dir, way: s.Way, watch: s.Watch, bind: s.Bind, readOnly: s.ReadOnly, mustDir: s.Dir != "", ahead: s.Ahead,
		join: s.Join != nil, uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()), creds: s.creds,
	}
	s.task.allowOther = s.task.uid == 0
	s.task.caps = s.task.uid != 0 || s.Way != Root || s.Join != nil && s.Join.UserNS != nil
	if s.Dir == "" {
		// The kernel's path, not $PWD: it is walked from the view's root.
		s.task.dir, _ = syscall.Getwd()
	}
	s.child = newChild()
	if s.task.uid != 0 {
		s.child.ambient = stageCaps
	}
	if s.Join != nil {
		s.child.mntNS = int(s.Join.MountNS.Fd())
		if s.Join.UserNS != nil {
			s.child.userNS = int(s.Join.UserNS.Fd())
		} else if s.task.uid != 0 {
			s.child.ambient &= s.creds.permitted
		}
		s.files = []int{int(s.Join.Root.Fd())}
		return nil
	}
	s.files = []int{int(s.Server.Fd())} // Fd makes it blocking
	s.child.flags = syscall.CLONE_NEWNS
	if s.Way == Root {
		s.child.ambient &= s.creds.permitted
		return nil
	}
	s.child.flags |= syscall.CLONE_NEWUSER
	var err error
	if s.maps, err = newIDMaps(s.creds); err != nil {
		return err
	}
	s.task.maps = s.maps
	if s.Way == Fusermount {
		// The helper allows allow_other only where /etc/fuse.conf does.
		s.task.allowOther = false
		if s.mount, err = fusermountTemp(s.ReadOnly); err != nil {
			return err
		}
		s.task.mountPoint = s.mount.dir
		s.files = append(s.files, s.mount.fuse)
	}
	return nil
}

func (s *starter) clone(theirs int, gate [2]int) error {
	c := &s.child
	c.socket, c.gate, c.gateWrite = theirs, gate[0], gate[1]
	err := s.arm(theirs)
	if err == nil {
		s.p.pid, err = c.clone()
		err = stepError("clone", "", err)
	}
	runtime.KeepAlive(s.steps)
	return err
}

func (s *viewStarter) arm(theirs int) error {
	path, err := syscall.BytePtrFromString("/proc/self/exe")
	if err != nil {
		return err
	}
	argv, err := syscall.SlicePtrFromStrings([]string{stageName, strconv.Itoa(theirs)})
	if err != nil {
		return err
	}
	// One thread that runs is enough, and what is in a program's environment must
	// not act on the stage's runtime.
	env, err := syscall.SlicePtrFromStrings([]string{"GOMAXPROCS=1", "GOGC=off"})
	if err != nil {
		return err
	}
	s.child.path, s.child.argv, s.child.envv = path, &argv[0], &env[0]
	return nil
}

// talk gives the stage its task and hears how it goes.
func (s *viewStarter) talk() error {
	var err error
	if s.p.view, err = openNamespaces(s.p.pid); err != nil {
		return stepError("open namespaces", "", err)
	}
	// It takes a millisecond, which the stage needs to begin.
	s.listen()
	s.task.creds = s.creds
	text := s.task.encode()
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	// EPIPE: it ended already, and a frame says why.
	if err := send(s.p.socket, head, s.files...); err != nil && err != syscall.EPIPE {
		return stepError("send", "", err)
	}
	s.listening()
	if err := send(s.p.socket, text); err != nil && err != syscall.EPIPE {
		return stepError("send", "", err)
	}
	execing := false
	for {
		kind, payload, err := s.p.frame()
		if err != nil {
			return stepError("receive", "", err)
		}
		switch kind {
		case 0: // end of file
			if !execing {
				return &StepError{"stage", "ended early", syscall.ECHILD}
			}
			return nil
		case frameTaken:
			err := s.mount.remove()
			s.mount = nil
			if err != nil {
				return err
			}
		case frameExec:
			execing = true
		case frameFailed:
			return &StepError{childStep(payload[0]), "", syscall.Errno(payload[1])}
		case frameError:
			d := decoder{rest: payload}
			e := &StepError{d.text(), d.text(), syscall.Errno(d.num())}
			if text := d.text(); e.Errno == 0 {
				return errors.New(text)
			}
			return e
		}
	}
}

// frame reads one frame; kind is 0 at end of file.
func (p *Process) frame() (kind byte, payload []byte, err error) {
	for {
		if len(p.frames) >= 5 {
			if n := 5 + int(binary.LittleEndian.Uint32(p.frames[1:])); len(p.frames) >= n {
				kind, payload, p.frames = p.frames[0], p.frames[5:n], p.frames[n:]
				if kind == frameFailed && len(payload) != 2 {
					return 0, nil, syscall.EPROTO
				}
				return kind, payload, nil
			}
		}
		b := make([]byte, 4096)
		n, files, err := receive(p.socket, b)
		closeAll(files)
		if err == syscall.ECONNRESET {
			n, err = 0, nil // it ended with our task unread
		}
		if err != nil || n == 0 {
			return 0, nil, err
		}
		p.frames = append(p.frames, b[:n]...)
	}
}

// restoreNofile gives this process the soft RLIMIT_NOFILE that it was started
// with, so that the program inherits it. Go raises the limit and keeps the old
// value to itself, but gives it back before each execve(2), and this one fails.
func restoreNofile() { _ = syscall.Exec("", nil, nil) }
