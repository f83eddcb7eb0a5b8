package spindle

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
	"github.com/compspec/compat/pkg/internal/sandbox"
)

// A test binary that is started under this name launches what its arguments say.
const launcherName = "test-launcher"

func TestMain(m *testing.M) {
	sandbox.Stage() // keepers begin here
	if os.Args[0] == launcherName {
		os.Exit(launchMain(os.Args[1:]))
	}
	os.Exit(loadertest.Main(m))
}

// launchMain takes the view, "follow" or "", and the program with its arguments.
// What it says itself goes to descriptor 3.
func launchMain(args []string) int {
	said := os.NewFile(3, "said")
	syscall.CloseOnExec(3)
	o := Options{View: View(args[0]), Follow: args[1] == "follow", Argv: args[2:], Dlopen: strings.Fields(os.Getenv("TEST_DLOPEN"))}
	o.Plain = func(reason string) { fmt.Fprintln(said, "plain:", reason) }
	o.byPath = os.Getenv("TEST_BYPATH") != ""
	o.Require = os.Getenv("TEST_REQUIRE") != ""
	os.Unsetenv("TEST_DLOPEN")
	os.Unsetenv("TEST_BYPATH")
	status, stats, err := Launch(o)
	var not *NotStartedError
	if errors.As(err, &not) {
		return not.Status
	}
	if err != nil {
		fmt.Fprintln(said, "error:", err)
		return 125
	}
	fmt.Fprintln(said, "view:", stats.View)
	return status
}

// noExec is that the kernel does not know the file: execvp(3), and so a launch,
// then gives it to the shell.
const noExec = -1

// outcome is how a run ended.
type outcome struct {
	status         int
	stdout, stderr string
	said           string // by the launcher
}

// launch runs the launcher.
func launchOf(t testing.TB, dir string, env []string, view View, follow bool, argv ...string) outcome {
	t.Helper()
	mode := ""
	if follow {
		mode = "follow"
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Args = append([]string{launcherName, string(view), mode}, argv...)
	return run(t, cmd, dir, env)
}

func plainly(t testing.TB, dir string, env []string, argv ...string) outcome {
	t.Helper()
	return run(t, exec.CommandContext(t.Context(), argv[0], argv[1:]...), dir, env)
}

func run(t testing.TB, cmd *exec.Cmd, dir string, env []string) (o outcome) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = dir, env, &stdout, &stderr, []*os.File{w}
	err = cmd.Run()
	w.Close()
	var ended *exec.ExitError
	switch {
	case err == nil || errors.As(err, &ended):
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if o.status = ws.ExitStatus(); ws.Signaled() {
			o.status = 128 + int(ws.Signal())
		}
	case errors.Is(err, syscall.ENOEXEC):
		o.status = noExec
	case errors.Is(err, os.ErrNotExist):
		o.status = 127
	default:
		o.status = 126
	}
	said := make([]byte, 4096)
	n, _ := r.Read(said)
	o.stdout, o.stderr, o.said = stdout.String(), stderr.String(), string(said[:n])
	return o
}
