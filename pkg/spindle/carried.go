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
// instance; content gives the file that has a digest. An error matching
// artifact.ErrUnsupported says that the program does not start here, and why.
func (p *Plan) Prepare(id string, content func(digest string) string) (*Carried, error) {
	made, cached, err := prepareCarried(p.request(), "plan "+id, func(c *cache, m *ldso.Machine) (*prepared, error) {
		out, s, err := c.carried(p, m, content)
		if err != nil {
			return nil, err
		}
		out.inputs = s.hostInputs(p)
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return made.carried(p, cached)
}

// PrepareLocal is Carry and Prepare for a program of this machine, kept until
// one of the files has changed. id tells the recordings of o from others. store
// is to have the contents of the plan afterwards.
func PrepareLocal(req Request, o CarryOptions, id string, store func(*Plan) (content func(digest string) string, err error)) (*Carried, error) {
	var p *Plan
	made, cached, err := prepareCarried(req, "local "+id, func(c *cache, m *ldso.Machine) (*prepared, error) {
		var err error
		if p, err = Carry(req, o); err != nil {
			return nil, err
		}
		content, err := store(p)
		if err != nil {
			return nil, err
		}
		out, s, err := c.carried(p, m, content)
		if err != nil {
			return nil, err
		}
		out.inputs = s.hostInputs(p)
		for _, f := range p.Files {
			st, err := stampOf(f.Path)
			if err != nil {
				return nil, err
			}
			out.inputs = append(out.inputs, input{f.Path, st})
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
		if _, err := store(p); err != nil {
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
	c := &Carried{Plan: plan, Target: p.target, ImageSize: p.size, Reason: p.reason, Cached: cached, Objects: p.objects, Dlopened: p.dlopened, Search: p.search}
	if p.image != "" {
		dir, err := CacheDir()
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
