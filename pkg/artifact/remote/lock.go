package remote

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

const defaultLockTimeout = time.Minute

// lock takes an exclusive flock(2) on the directory itself, so that nothing
// foreign appears in a layout. It waits up to timeout for other processes; the
// error then matches ErrLocked. The kernel drops the lock of a process that
// dies.
func lock(ctx context.Context, dir string, timeout time.Duration) (unlock func(), err error) {
	if timeout <= 0 {
		timeout = defaultLockTimeout
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(timeout)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			f.Close()
			return nil, &os.PathError{Op: "flock", Path: dir, Err: err}
		case time.Now().After(deadline):
			f.Close()
			return nil, withHint(fmt.Errorf("%w: %s is locked for %s", ErrLocked, dir, timeout),
				"wait for the other compat process that uses it, or end it")
		}
		if err := sleep(ctx, time.Duration(5+rand.IntN(20))*time.Millisecond); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// waiter waits for d or until ctx ends.
type waiter func(ctx context.Context, d time.Duration) error

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
