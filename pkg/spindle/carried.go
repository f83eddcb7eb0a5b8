package spindle

import (
	"fmt"
	"path"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
)

// Carried is a launch of a program whose files a plan carries, on this node.
type Carried struct {
	Plan *Plan
	// Image is the file to be seen at Target instead of the program's content;
	// empty: none, and Reason says why.
	Image, Target string
	ImageSize     int64 // bytes
	Reason        string
	Cached        bool // no file was looked into
	// As in Stats.
	Objects, Dlopened int64
	Search            Search
}

// Prepare finds what the loader of this node would load for the program of the
// plan, if the plan's files were in their places, and makes the image that has
// it found without a search. id tells the plan from others, its digest for
// instance. A content is verified when the launch is prepared, and again when its
// file has changed. An error matching artifact.ErrUnsupported says that the
// program does not start here, and why; one of Verify is returned as it is.
func (p *Plan) Prepare(id string, store Contents) (*Carried, error) {
	made, cached, err := prepareCarried(p.request(), "plan "+id, func(c *cache, m *ldso.Machine) (*prepared, error) {
		if err := p.verify(store); err != nil {
			return nil, err
		}
		out, s, err := c.carried(p, m, store.Path)
		if err != nil {
			return nil, err
		}
		out.inputs = s.hostInputs(p)
		return out, out.contents(p, store)
	})
	if err != nil {
		return nil, err
	}
	return made.carried(p, cached)
}

// Contents is where the contents of files are; package store has one.
type Contents interface {
	Path(digest string) string
	Verify(digest string, size int64) error // reads all of it
}

func (p *Plan) verify(store Contents) error {
	done := map[string]bool{}
	for _, f := range p.Files {
		if f.Type != TypeFile || done[f.Digest] {
			continue
		}
		done[f.Digest] = true
		if err := store.Verify(f.Digest, f.Size); err != nil {
			return fmt.Errorf("the content of %s: %w", f.Path, err)
		}
	}
	return nil
}

// contents adds the files that hold a plan's contents, as the last of the inputs.
func (out *prepared) contents(p *Plan, store Contents) error {
	done := map[string]bool{}
	for _, f := range p.Files {
		if f.Type != TypeFile || done[f.Digest] {
			continue
		}
		done[f.Digest] = true
		st, err := stampOf(store.Path(f.Digest))
		if err != nil {
			return err
		}
		out.inputs = append(out.inputs, input{store.Path(f.Digest), st})
		out.own++
	}
	return nil
}

// PrepareLocal is Carry and Prepare for a program of this machine, kept until
// one of the files has changed. id tells the recordings of o from others. fill
// is to put the contents of the plan into the store.
func PrepareLocal(req Request, o CarryOptions, id string, store Contents, fill func(*Plan) error) (*Carried, error) {
	var p *Plan
	made, cached, err := prepareCarried(req, "local "+id, func(c *cache, m *ldso.Machine) (*prepared, error) {
		var err error
		if p, err = Carry(req, o); err != nil {
			return nil, err
		}
		if err := fill(p); err != nil {
			return nil, err
		}
		if err := p.verify(store); err != nil {
			return nil, err
		}
		out, s, err := c.carried(p, m, store.Path)
		if err != nil {
			return nil, err
		}
		out.inputs = s.hostInputs(p)
		for _, f := range p.Files {
			if f.Type == TypeDir && !f.Whole { // only that it leads somewhere, which what is below it shows
				continue
			}
			st, err := stampOf(f.Path)
			if err != nil {
				return nil, err
			}
			out.inputs = append(out.inputs, input{f.Path, st})
		}
		if err := out.contents(p, store); err != nil {
			return nil, err
		}
		data, err := Encode(p)
		out.plan = string(data)
		return out, err
	})
	if err != nil {
		return nil, err
	}
	if p == nil {
		if p, err = Decode([]byte(made.plan)); err != nil {
			return nil, err
		}
		if err := fill(p); err != nil {
			return nil, err
		}
	}
	return made.carried(p, cached)
}

func (p *Plan) request() Request {
	req := Request{Program: p.Program}
	for _, o := range p.Objects {
		if o.Dlopen != "" && o.Name == o.Dlopen {
			req.Opened = append(req.Opened, []string{o.Name})
		}
	}
	return req
}

func prepareCarried(req Request, id string, make func(*cache, *ldso.Machine) (*prepared, error)) (p *prepared, cached bool, err error) {
	c, err := openCache()
	if err != nil {
		return nil, false, err
	}
	m, err := ldso.Live("")
	if err != nil {
		return nil, false, err
	}
	req.Dlopen = append([]string{id}, req.Dlopen...) // a name that none has
	return c.kept(c.key(req, m), func() (*prepared, error) { return make(c, m) })
}

func (p *prepared) carried(plan *Plan, cached bool) (*Carried, error) {
	c := &Carried{Plan: plan, Target: p.target, ImageSize: p.written.size, Reason: p.reason, Cached: cached, Objects: p.objects, Dlopened: p.dlopened, Search: p.search}
	if p.image != "" {
		dir, err := artifact.LaunchCacheDir()
		if err != nil {
			return nil, err
		}
		c.Image = (&cache{dir}).imagePath(p.image)
	}
	return c, nil
}

// carried simulates the start over the node's files with the plan's in their places.
func (c *cache) carried(p *Plan, m *ldso.Machine, content func(string) string) (*prepared, *start, error) {
	s, err := simulate(newPlanFS(m.FS, p, content), m, p.request())
	if err == nil {
		err = s.plan()
	}
	out := s.prepared()
	if u, ok := err.(*Unfit); ok {
		if s.res != nil && !s.res.OK() {
			return nil, s, fmt.Errorf("%w: %s does not start on this machine: %s", artifact.ErrUnsupported, p.Program, firstProblem(s.res, u.Reason))
		}
		out.reason = u.Reason
	} else if err != nil {
		return nil, s, err
	}
	if out.reason != "" {
		return out, s, nil
	}
	for _, f := range p.Files {
		if f.Path == s.real && f.Type == TypeFile {
			out.target = s.real
			s.real = content(f.Digest)
		}
	}
	if out.target == "" {
		out.reason = "the program's file is not in the plan"
		return out, s, nil
	}
	err = c.image(s, out)
	if u, ok := err.(*Unfit); ok {
		out.reason, out.target, err = u.Reason, "", nil
	}
	return out, s, err
}

// hostInputs are the files and directories of the node that the start was told
// by. What the plan carries does not change.
func (s *start) hostInputs(p *Plan) []input {
	carried := make(map[string]bool, len(p.Files))
	for _, f := range p.Files {
		carried[f.Path] = true
	}
	names := map[string]bool{ldso.CachePath: true, "/etc/ld.so.preload": true}
	for _, m := range s.res.Maps {
		if m.Object.Info.Dev != planDev {
			names[path.Clean(m.Path)] = true
		}
	}
	for _, dir := range s.list.asked() {
		names[dir] = true
	}
	var out []input
	for name := range names {
		if carried[name] || !path.IsAbs(name) {
			continue
		}
		if st, err := stampOf(name); err == nil { // else it is a directory that we may not enter
			out = append(out, input{name, st})
		}
	}
	return out
}
