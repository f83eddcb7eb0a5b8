package sandbox

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// capSetFcap is needed to map the parent's id 0 (verify_root_map in
// kernel/user_namespace.c, Linux 5.12).
const capSetFcap = 31

// idMaps are the maps of a user namespace to make. Ids mean the same inside
// and outside.
type idMaps struct {
	uids, gids []Range
	setgroups  bool // setgroups(2) stays allowed inside
}

// newIDMaps maps everything that is mapped here, where the caller may, and
// else the caller alone: one who has no capability may map itself only, and
// must forbid setgroups(2) (user_namespaces(7)).
func newIDMaps(c credentials) (idMaps, error) {
	single := idMaps{uids: []Range{{uint32(os.Geteuid()), 1}}, gids: []Range{{uint32(os.Getegid()), 1}}}
	if !c.may(capSetUID) || !c.may(capSetGID) || !c.may(capSetFcap) {
		return single, nil
	}
	uids, err := readRanges("/proc/self/uid_map")
	if err != nil {
		return single, err
	}
	gids, err := readRanges("/proc/self/gid_map")
	if err != nil {
		return single, err
	}
	return idMaps{uids, gids, true}, nil
}

func readRanges(file string) ([]Range, error) {
	text, err := readProc(file)
	if err != nil {
		return nil, err
	}
	var ranges []Range
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, &os.PathError{Op: "parse", Path: file, Err: syscall.EINVAL}
		}
		first, err1 := strconv.ParseUint(f[0], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 != nil || err2 != nil {
			return nil, &os.PathError{Op: "parse", Path: file, Err: syscall.EINVAL}
		}
		ranges = append(ranges, Range{uint32(first), uint32(count)})
	}
	return ranges, nil
}

// write gives the user namespace of pid its maps. The files take one write(2).
func (m idMaps) write(pid int) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	if !m.setgroups {
		// Linux before 3.19 has no such file, and no such rule.
		if err := writeFile(dir+"setgroups", "deny"); err != nil && err != syscall.ENOENT {
			return stepError("write", "setgroups", err)
		}
	}
	if err := writeFile(dir+"gid_map", mapText(m.gids)); err != nil {
		return stepError("write", "gid_map", err)
	}
	return stepError("write", "uid_map", writeFile(dir+"uid_map", mapText(m.uids)))
}

func mapText(ranges []Range) string {
	var b []byte
	for _, r := range ranges {
		first := strconv.FormatUint(uint64(r.First), 10)
		b = append(b, first+" "+first+" "+strconv.FormatUint(uint64(r.Count), 10)+"\n"...)
	}
	return string(b)
}

func writeFile(path, text string) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	_, err = syscall.Write(fd, []byte(text))
	return err
}
