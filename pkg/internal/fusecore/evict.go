package fusecore

import "time"

// evictor keeps the table of nodes bounded: it asks the kernel to forget files
// that were not used for a while (a second chance for what was), upon which the
// kernel sends FORGET. It stands beside the requests, since the kernel holds
// locks of directories while it waits for our replies.
func (fs *FS) evictor() {
	for range fs.evict {
		for rounds := 0; rounds < 64 && fs.Nodes() > fs.opts.MaxNodes*7/8; rounds++ {
			old := fs.oldest(4096)
			for _, o := range old {
				fs.server.EntryNotify(o.dir, o.name)
			}
			if len(old) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

// oldest gives names of nodes that are not in use.
func (fs *FS) oldest(most int) (out []nameKey) {
	fs.hmu.Lock()
	defer fs.hmu.Unlock()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for range len(fs.queue) {
		if len(out) == most {
			break
		}
		id := fs.queue[0]
		fs.queue = fs.queue[1:]
		n := fs.nodes[id]
		if n == nil {
			continue
		}
		fs.queue = append(fs.queue, id)
		if n.touched.Swap(false) || n.kids > 0 || n.parent == nil || n.pin >= 0 || len(n.opens) > 0 {
			continue
		}
		out = append(out, nameKey{n.parent.id, n.name})
	}
	return out
}
