package sandbox

import (
	"strings"
	"syscall"
)

// LookPath finds the program as execvp(3) does: a name with a slash is a path,
// any other is looked for in the directories of path ($PATH, where an empty
// entry is the working directory). The error is a [*StepError] of step "exec",
// whose ExitStatus is 127 where nothing has that name, 126 where what has it
// cannot be executed.
func LookPath(name, path string) (string, error) {
	if name == "" {
		return "", &StepError{stepExec, name, syscall.ENOENT}
	}
	if strings.Contains(name, "/") {
		return name, stepError(stepExec, name, executable(name))
	}
	failed := error(syscall.ENOENT)
	for dir := range strings.SplitSeq(path, ":") {
		file := name
		if dir != "" {
			file = strings.TrimSuffix(dir, "/") + "/" + name
		}
		err := executable(file)
		if err == nil {
			if dir == "" {
				file = "./" + name
			}
			return file, nil
		}
		if err == syscall.EACCES {
			failed = err // it goes on, and says so at the end
		}
	}
	return "", stepError(stepExec, name, failed)
}

func executable(file string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return syscall.EACCES
	}
	const xOK = 1
	return syscall.Faccessat(atFDCWD, file, xOK, atEaccess)
}
