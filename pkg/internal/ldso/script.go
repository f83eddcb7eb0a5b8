package ldso

import (
	"bytes"
	"io"
	"strings"
)

const binprmBufSize = 256 // include/uapi/linux/binfmts.h

// ScriptLine returns what follows "#!" on the first line of a script, "" for
// anything else, and where the interpreter's name may go on behind what the
// kernel reads (fs/binfmt_script.c, load_script).
func ScriptLine(r io.ReaderAt) string {
	b := make([]byte, binprmBufSize) // the rest of a short file is NUL
	_, _ = r.ReadAt(b, 0)
	line, ok := bytes.CutPrefix(b, []byte("#!"))
	if !ok {
		return ""
	}
	line, _, whole := bytes.Cut(line, []byte("\n"))
	if !whole {
		if !bytes.ContainsAny(bytes.TrimLeft(line, " \t"), " \t\x00") {
			return ""
		}
		line = line[:len(line)-1]
	}
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

// EnvProgram is the program that env(1) of GNU would start with arg, which a
// "#!" line passes as one word: only after -S is it split. It is "" where
// there is none, or where telling takes more of env than its options.
func EnvProgram(arg string) string {
	rest, split := strings.CutPrefix(arg, "-S")
	if !split {
		if strings.HasPrefix(arg, "-") || strings.Contains(arg, "=") {
			return ""
		}
		return arg // a space is part of the name
	}
	if strings.ContainsAny(rest, `\'"$#`) {
		return ""
	}
	words := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) })
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case w == "--unset" || w == "--chdir" || w == "--argv0":
			i++
		case strings.HasPrefix(w, "--split"):
			return ""
		case strings.HasPrefix(w, "--"):
		case strings.HasPrefix(w, "-"):
			// The first option with a value takes the rest of the word, or the next.
			if k := strings.IndexAny(w, "uCaS"); k >= 0 && w[k] == 'S' {
				return ""
			} else if k == len(w)-1 {
				i++
			}
		case strings.HasPrefix(w, "PATH="):
			return "" // which it is looked for in
		case !strings.Contains(w, "="):
			return w
		}
	}
	return ""
}
