package record

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// maxDigested is the size of the largest file whose content is summed, in bytes.
const maxDigested = 1 << 30

// used knows what a run read and changed. Events come from several goroutines.
type used struct {
	mu    sync.Mutex
	using *trace.Using
}

func (u *used) add(ev *trace.Event) {
	u.mu.Lock()
	u.using.Add(ev)
	u.mu.Unlock()
}

// digests gives an event for each file that was read and not changed, by path.
// It reads them where the view has them from, so that nothing of it is recorded.
// start is the recording's. hurry ends it.
func (u *used) digests(start time.Time, hurry func() bool, each func(*trace.Event)) {
	u.mu.Lock()
	usage := u.using.Usage()
	u.mu.Unlock()
	var files []trace.File
	for _, f := range usage.Files {
		if f.Read && !f.Changed && f.Path != "" {
			files = append(files, f)
		}
	}
	sums := make([]chan string, len(files))
	for i := range sums {
		sums[i] = make(chan string, 1)
	}
	var next atomic.Int64
	for range min(len(files), runtime.NumCPU(), 8) {
		go func() {
			buf := make([]byte, 256<<10)
			for i := next.Add(1) - 1; int(i) < len(files); i = next.Add(1) - 1 {
				sums[i] <- digest(&files[i], start, hurry, buf)
			}
		}()
	}
	for i := range files {
		if sum := <-sums[i]; sum != "" {
			each(&trace.Event{Time: int64(time.Since(start)), Op: trace.OpDigest, Path: files[i].Path, Size: files[i].Size, Digest: sum})
		}
	}
}

// digest sums the content of a file, and sets its size. It is empty for what is
// no regular file, cannot be read, is larger than maxDigested or was changed since
// the start, by whomever, and for empty files: those of /proc say that they are.
func digest(f *trace.File, start time.Time, hurry func() bool, buf []byte) string {
	if hurry() {
		return ""
	}
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY, 0)
	if err != nil {
		return ""
	}
	defer file.Close()
	var before, after unix.Stat_t
	if unix.Fstat(int(file.Fd()), &before) != nil || before.Mode&unix.S_IFMT != unix.S_IFREG || before.Size == 0 || before.Size > maxDigested ||
		f.Size != 0 && f.Size != before.Size || time.Unix(before.Ctim.Unix()).After(start) {
		return ""
	}
	h := sha256.New()
	for left := before.Size; left > 0 && !hurry(); {
		n, err := file.Read(buf[:min(left, int64(len(buf)))])
		h.Write(buf[:n])
		left -= int64(n)
		if err == io.EOF && left > 0 || err != nil && err != io.EOF {
			return ""
		}
	}
	if unix.Fstat(int(file.Fd()), &after) != nil || after.Size != before.Size || after.Ctim != before.Ctim || hurry() {
		return ""
	}
	f.Size = before.Size
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
