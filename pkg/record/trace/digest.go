package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
)

// FileDigest is the digest of a file's content as Header.Digest has it; empty
// where it cannot be read.
func FileDigest(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
