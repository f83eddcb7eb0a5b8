package record_test

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// call is a system call on a path, as strace saw it.
type call struct {
	pid    int
	name   string
	path   string // absolute, as it was given: neither cleaned nor resolved
	flags  string // what comes after the path
	errno  string // "": it went well
	opened string // of an open: the file's path, by the link in /proc
}

// follows says whether a symbolic link at the end of the path is followed.
func (c *call) follows() bool {
	switch c.name {
	case "lstat", "readlink", "readlinkat":
		return false
	}
	return !strings.Contains(c.flags, "NOFOLLOW") && !(strings.Contains(c.flags, "O_CREAT") && strings.Contains(c.flags, "O_EXCL"))
}

func (c *call) opens() bool {
	return c.name == "open" || c.name == "openat" || c.name == "openat2" || c.name == "creat"
}

const quoted = `"((?:[^"\\]|\\.)*)"(?:, (.*))?$`

var (
	straceLine   = regexp.MustCompile(`^(\d+) +(.*)$`)
	straceResume = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	straceCall   = regexp.MustCompile(`^(\w+)\((.*)\) += (\?|-?\d+)(?:<((?:[^>\\]|\\.)*)>(?:\(deleted\))?)?(?: ([A-Z]\w+) \(.*)?`)
	straceChild  = regexp.MustCompile(`\) += (\d+)$`)
	straceAt     = regexp.MustCompile(`^(?:AT_FDCWD|-?\d+)(?:<((?:[^>\\]|\\.)*)>)?, ` + quoted)
	stracePlain  = regexp.MustCompile(`^` + quoted)
)

// parseStrace reads what `strace -f -y -o FILE` has written of a program started
// in dir. A call during which others have happened is in two lines, and counts
// from the second one. The working directory, which only calls with AT_FDCWD
// show, is followed through chdir, and from parents to children.
func parseStrace(name, dir string) ([]call, map[int]bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	var lines [][2]string
	in := bufio.NewScanner(f)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		m := straceLine.FindStringSubmatch(in.Text())
		if m == nil {
			return nil, nil, fmt.Errorf("strace line %q", in.Text())
		}
		lines = append(lines, [2]string{m[1], m[2]})
	}
	if err := in.Err(); err != nil {
		return nil, nil, err
	}
	// Whose child a process is stands where the parent's call ends, perhaps below
	// the child's first lines.
	parents := map[string]string{}
	for _, l := range lines {
		text := l[1]
		if m := straceResume.FindStringSubmatch(text); m != nil {
			text = m[1] + "(" + m[2]
		}
		if n, args, ok := strings.Cut(text, "("); ok && (n == "fork" || n == "vfork" || n == "clone" || n == "clone3") {
			if m := straceChild.FindStringSubmatch(args); m != nil {
				parents[m[1]] = l[0]
			}
		}
	}
	var calls []call
	pids, begun, cwd := map[int]bool{}, map[string]string{}, map[string]string{}
	for i, l := range lines {
		pid, text := l[0], l[1]
		if cwd[pid] == "" {
			cwd[pid] = dir
			if i > 0 {
				cwd[pid] = cwd[parents[pid]]
			}
			if cwd[pid] == "" {
				return nil, nil, fmt.Errorf("process %s has no parent", pid)
			}
			n, _ := strconv.Atoi(pid)
			pids[n] = true
		}
		if strings.HasPrefix(text, "+++") || strings.HasPrefix(text, "---") {
			continue
		}
		if head, ok := strings.CutSuffix(text, "<unfinished ...>"); ok {
			begun[pid] = head
			continue
		}
		if m := straceResume.FindStringSubmatch(text); m != nil {
			text = begun[pid] + m[2]
		}
		m := straceCall.FindStringSubmatch(text)
		if m == nil {
			return nil, nil, fmt.Errorf("strace call %q", text)
		}
		c := call{name: m[1], opened: unquote(m[4]), errno: m[5]}
		c.pid, _ = strconv.Atoi(pid)
		args := m[2]
		switch {
		case m[3] == "?": // it did not return: another thread has ended the process
			continue
		case c.name == "fchdir":
			if _, to, ok := strings.Cut(args, "<"); ok && c.errno == "" {
				cwd[pid] = unquote(strings.TrimSuffix(to, ">"))
			}
			continue
		}
		if a := straceAt.FindStringSubmatch(args); a != nil {
			if a[1] != "" && strings.HasPrefix(args, "AT_FDCWD") {
				cwd[pid] = unquote(a[1])
			}
			c.path, c.flags = join(unquote(a[1]), unquote(a[2])), a[3]
			if a[2] == "" { // the descriptor itself
				continue
			}
		} else if a := stracePlain.FindStringSubmatch(args); a != nil {
			if a[1] == "" {
				continue
			}
			c.path, c.flags = join(cwd[pid], unquote(a[1])), a[2]
		} else {
			continue // no path: clone, getcwd, a bad address
		}
		if c.name == "chdir" && c.errno == "" {
			cwd[pid] = c.path
		}
		calls = append(calls, c)
	}
	return calls, pids, nil
}

func join(dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return dir + "/" + name
}

// unquote takes back the escapes of strace: octal ones, and those of C.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		n, k := 0, 0
		for ; k < 3 && i+k < len(s) && s[i+k] >= '0' && s[i+k] <= '7'; k++ {
			n = n*8 + int(s[i+k]-'0')
		}
		if k > 0 {
			b.WriteByte(byte(n))
			i += k - 1
			continue
		}
		if j := strings.IndexByte("ntrvfab", s[i]); j >= 0 {
			b.WriteByte("\n\t\r\v\f\a\b"[j])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
