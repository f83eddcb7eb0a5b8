package ldso

import (
	"bytes"
	"io"
	"strings"
)

const binprmBufSize = 256 // include/uapi/linux/binfmts.h

// scriptLine returns what follows "#!" on the first line of a script, "" for
// anything else.
func scriptLine(r io.ReaderAt) string {
	b := make([]byte, binprmBufSize)
	n, _ := r.ReadAt(b, 0)
	line, ok := bytes.CutPrefix(b[:n], []byte("#!"))
	if !ok {
		return ""
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	line, _, _ = bytes.Cut(line, []byte{0})
	return strings.Trim(string(line), " \t")
}

// SplitScript splits an interpreter line as fs/binfmt_script.c does: the
// interpreter, and all the rest as one argument.
func SplitScript(line string) (interp, arg string) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.Trim(line[i:], " \t")
}
