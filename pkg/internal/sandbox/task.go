package sandbox

// task is what main tells the stage, over a socket that execve(2) closes:
// neither the environment nor the command line of the stage is the program's.
type task struct {
	argv, env   []string
	path, dir   string
	way         Way
	watch, bind []string
	readOnly    bool
	mustDir     bool // dir was asked for, and no other will do
	ahead       []string
	join        bool
	mountPoint  string // of way fusermount
	uid, gid    uint32
	allowOther  bool
	caps        bool // give back the capabilities in creds
	creds       credentials
	maps        idMaps
}

func (t *task) encode() []byte {
	var e encoder
	e.list(t.argv)
	e.list(t.env)
	e.text(t.path)
	e.text(t.dir)
	e.text(string(t.way))
	e.list(t.watch)
	e.list(t.bind)
	e.flag(t.readOnly)
	e.flag(t.mustDir)
	e.list(t.ahead)
	e.flag(t.join)
	e.text(t.mountPoint)
	e.num(uint64(t.uid))
	e.num(uint64(t.gid))
	e.flag(t.allowOther)
	e.flag(t.caps)
	for _, p := range t.creds.numbers() {
		e.num(*p)
	}
	e.ranges(t.maps.uids)
	e.ranges(t.maps.gids)
	return e
}

func decodeTask(b []byte) (*task, bool) {
	d := decoder{rest: b}
	t := &task{
		argv: d.list(), env: d.list(), path: d.text(), dir: d.text(), way: Way(d.text()),
		watch: d.list(), bind: d.list(), readOnly: d.num() != 0, mustDir: d.num() != 0, ahead: d.list(), join: d.num() != 0,
		mountPoint: d.text(), uid: uint32(d.num()), gid: uint32(d.num()), allowOther: d.num() != 0, caps: d.num() != 0,
	}
	for _, p := range t.creds.numbers() {
		*p = d.num()
	}
	t.maps.uids, t.maps.gids = d.ranges(), d.ranges()
	return t, !d.bad && len(t.argv) > 0
}

func (c *credentials) numbers() []*uint64 {
	return []*uint64{&c.bounding, &c.permitted, &c.effective, &c.inheritable, &c.ambient, &c.blocked, &c.ignored}
}

// Frames from the stage to main: a letter, the length of the rest as 32 bits,
// the rest.
const (
	frameFailed = 'F' // step, errno: of the child before it is the stage
	frameError  = 'E' // step, path, errno or 0, text
	frameTaken  = 'T' // the mount of way fusermount is in the private namespace
	frameExec   = 'X' // next is execve(2)
)
