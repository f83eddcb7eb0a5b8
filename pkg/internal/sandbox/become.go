package sandbox

import "runtime"

// Become becomes the program, as execvp(3) does once it has found it, with the
// signals blocked and ignored that this process was started with: Go changes
// some of them. It returns where that is impossible, with a [*StepError] of step
// "exec".
func Become(path string, argv, env []string) error {
	creds, err := readCredentials()
	if err != nil {
		return err
	}
	creds.ignored = ignoredSignals(creds.ignored)
	runtime.LockOSThread() // the mask is this thread's
	defer runtime.UnlockOSThread()
	creds.restoreSignals()
	return stepError(stepExec, path, execve(path, argv, env))
}
