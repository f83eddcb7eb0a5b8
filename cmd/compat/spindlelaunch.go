package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/pack"
	"github.com/compspec/compat/pkg/spindle/store"
	"github.com/compspec/compat/pkg/spindle/view"
)

// launcher launches by all the ways that there are.
type launcher struct {
	planFlags
	cmd          *cobra.Command
	ref, session string
	watch        []string
}

func (l *launcher) add() {
	f := l.cmd.Flags()
	f.StringVar(&l.ref, "ref", "", "launch what the artifact at `REF` carries, in a FUSE view")
	f.StringVar(&l.pull, "pull", "missing", "of --ref: get it from the registry if `missing` here, always or never")
	f.StringArrayVar(&l.traces, "trace", nil, "plan what the recorded run `REC` of the program read, in a FUSE view; repeatable")
	f.StringVar(&l.session, "session", "", "share the FUSE view `ID` with other launches on this machine (default: that of the MPI job)")
	f.StringArrayVar(&l.watch, "watch", nil, "show only this tree by the FUSE view; repeatable (default: all)")
	l.refs = &fetcher{cmd: l.cmd}
	l.refs.AddFlags(f)
}

// Write implements io.Writer: to the command's standard error.
func (l *launcher) Write(b []byte) (int, error) { return l.cmd.ErrOrStderr().Write(b) }

// Launch implements local.Launcher.
func (l *launcher) Launch(ctx context.Context, o spindle.Options) (int, *spindle.Stats, error) {
	pull := remote.PullPolicy(l.pull)
	switch {
	case pull != remote.PullMissing && pull != remote.PullAlways && pull != remote.PullNever:
		return 0, nil, exit.UsageError(l.cmd.CommandPath(), "--pull %q is not missing, always or never", l.pull)
	case l.ref == "" && len(l.traces) == 0 && o.View != spindle.FUSE:
		return spindle.Launch(o)
	case o.View == spindle.Bind || o.View == spindle.None && l.ref != "":
		return 0, nil, exit.UsageError(l.cmd.CommandPath(), "--view %s cannot go with --ref or --trace, which are shown by a FUSE view", o.View)
	case o.View == spindle.None:
		return spindle.Launch(o)
	case l.ref != "" && len(l.traces) > 0:
		return 0, nil, exit.UsageError(l.cmd.CommandPath(), "give --ref or --trace, one of them: pack --trace makes what --ref launches")
	}
	st, err := store.Open("")
	if err != nil {
		return l.instead(o, unplanned(err))
	}
	defer st.Close()
	var c *spindle.Carried
	var lease *store.Lease
	if l.ref != "" {
		c, lease, err = l.pulled(ctx, st)
	} else {
		c, lease, err = l.local(ctx, st, o)
	}
	if lease != nil {
		defer lease.Release()
	}
	if err == nil {
		var status int
		var stats *spindle.Stats
		if status, stats, err = l.show(ctx, o, c, st); err == nil || stats != nil {
			return status, stats, err
		}
	}
	return l.instead(o, err)
}

// instead launches by the plain search, or by the cheaper view, what cannot be
// launched by FUSE. What only an artifact has cannot be launched otherwise.
func (l *launcher) instead(o spindle.Options, err error) (int, *spindle.Stats, error) {
	var u *view.UnsupportedError
	var why *spindle.Unfit
	unsupported := errors.As(err, &u)
	switch unfit := errors.As(err, &why); {
	case unsupported && (o.Require || l.ref != ""):
		return 0, nil, &exit.Error{Err: err, Hint: u.Hint, Status: exit.Own}
	case unfit && o.Require && l.ref == "":
		return 0, nil, fmt.Errorf("%s: %w: no FUSE view: %s", o.Argv[0], spindle.ErrPlain, why.Reason)
	case !unsupported && !unfit || l.ref != "":
		return 0, nil, err
	}
	if o.Plain != nil {
		reason := err.Error()
		if why != nil {
			reason = why.Reason
		}
		fmt.Fprintf(l, "compat: launched without a FUSE view: %s\n", exit.Printable(reason))
	}
	o.View, o.Plain = spindle.Auto, nil
	return spindle.Launch(o)
}

// pulled gives the launch that an artifact carries, with its contents in the store.
func (l *launcher) pulled(ctx context.Context, st *store.Store) (*spindle.Carried, *store.Lease, error) {
	o, done, err := l.refs.open(l.cmd)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	o.Validate = artifactDocuments{}.Validate
	a, err := remote.OpenArtifact(ctx, o, l.ref, artifact.TypeLaunch, remote.PullPolicy(l.pull))
	if err != nil {
		return nil, nil, explain(err)
	}
	plan, err := spindle.Decode(a.Document.Data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", l.ref, err)
	}
	for try := 0; ; try++ {
		lease, err := pack.Fetch(ctx, plan, a, st, pack.FetchOptions{Concurrency: o.Concurrency})
		if err != nil {
			return nil, nil, explain(fmt.Errorf("the contents of %s: %w", l.ref, err))
		}
		c, err := plan.Prepare(a.Document.LayerDigest, st)
		if try == 0 && errors.Is(err, artifact.ErrInvalid) { // a content was damaged, and is removed
			lease.Release()
			continue
		}
		return c, lease, err
	}
}

// local gives the launch of a program of this machine, with its contents in the store.
func (l *launcher) local(ctx context.Context, st *store.Store, o spindle.Options) (*spindle.Carried, *store.Lease, error) {
	l.dlopen = o.Dlopen
	if _, err := spindle.Find(o.Argv[0]); err != nil {
		_, _, err = spindle.Launch(spindle.Options{Argv: o.Argv, Env: o.Env, View: spindle.None}) // which says it as a shell does
		return nil, nil, err
	}
	req, rec, err := l.request(l.cmd, o.Argv[0])
	if err != nil {
		return nil, nil, explain(err)
	}
	digests, closeDigests := local.Digests(false)
	defer closeDigests()
	var lease *store.Lease
	fill := func(p *spindle.Plan) (err error) {
		lease, err = keepContents(ctx, st, p)
		return err
	}
	var id []string
	for _, t := range l.traces {
		d, err := digests.Digest(t)
		if err != nil {
			d = t // a reference
		}
		id = append(id, d)
	}
	c, err := spindle.PrepareLocal(req, spindle.CarryOptions{Recorded: rec, Digests: digests}, strings.Join(id, " "), st, fill)
	return c, lease, unplanned(err)
}

// unplanned makes of what keeps a program of this machine from being planned or
// kept, a full disk for instance, a reason to search plainly: it is all here.
func unplanned(err error) error {
	var why *spindle.Unfit
	if err == nil || errors.As(err, &why) || errors.Is(err, context.Canceled) {
		return err
	}
	return &spindle.Unfit{Reason: err.Error()}
}

// keepContents puts the contents of a plan of this machine into the store.
func keepContents(ctx context.Context, st *store.Store, p *spindle.Plan) (*store.Lease, error) {
	var digests []string
	for _, f := range p.Files {
		if f.Type == spindle.TypeFile {
			digests = append(digests, f.Digest)
		}
	}
	lease, err := st.Use(ctx, digests)
	if err != nil {
		return nil, err
	}
	for _, f := range p.Files {
		if f.Type != spindle.TypeFile || st.Has(f.Digest, f.Size) {
			continue
		}
		if err := st.Add(ctx, f.Digest, f.Size, func(w io.Writer) error { return copyFile(w, f.Path) }); err != nil {
			lease.Release()
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return lease, nil
}

func copyFile(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// show runs the program in the view of what is carried.
func (l *launcher) show(ctx context.Context, o spindle.Options, c *spindle.Carried, st *store.Store) (int, *spindle.Stats, error) {
	stats := &spindle.Stats{View: spindle.FUSE, Reason: c.Reason, Cached: c.Cached, Objects: c.Objects, Dlopened: c.Dlopened, Search: c.Search}
	if reason := spindle.OfEnvironment(os.Getenv); reason != "" && c.Image != "" {
		c.Image, stats.Reason = "", reason+", so that it searches in the view"
	}
	if stats.Reason != "" {
		if o.Require {
			return 0, nil, fmt.Errorf("%s: %w: %s", o.Argv[0], spindle.ErrPlain, stats.Reason)
		}
		if o.Plain != nil {
			o.Plain(stats.Reason)
		}
	}
	v := view.Options{Argv: o.Argv, Env: o.Env, Tree: view.TreeOf(c, st.Path), Watch: l.watch, Session: l.session, Stats: true}
	for _, obj := range c.Plan.Objects {
		v.Ahead = append(v.Ahead, obj.Path)
	}
	if rank, ok := record.RankOf(os.Getenv); ok && v.Session == "" {
		v.Session = "spindle " + rank.Job
	}
	var err error
	if v.Path, err = programOf(c.Plan, o.Argv[0]); err != nil {
		return 0, nil, err
	}
	r, err := view.Run(ctx, v)
	if errors.Is(err, view.ErrOtherPlan) {
		v.Session = ""
		r, err = view.Run(ctx, v)
	}
	var not *view.NotStartedError
	if errors.As(err, &not) {
		return 0, nil, &spindle.NotStartedError{Status: not.Status, Err: err}
	}
	if r == nil {
		return 0, nil, err
	}
	stats.Ready = r.Start
	total := int64(0)
	for _, n := range r.Requests {
		total += n
	}
	stats.Requests = append(stats.Requests, fmt.Sprintf("%d to the view; of the names %d planned, %d known to be absent, %d passed to the machine's files",
		total, r.Served.Planned, r.Served.Absent, r.Served.Passed))
	if !r.Passthrough {
		stats.Requests = append(stats.Requests, "the kernel passes nothing through (it is for root, from Linux 6.9 on)")
	}
	return r.Exit, stats, err
}

// programOf is the path to execute for the first word of a command line, which is
// a path where it has a slash: that of the plan's program by its name, or another
// of the plan or of the machine.
func programOf(p *spindle.Plan, word string) (string, error) {
	if word == path.Base(p.Program) {
		return p.Program, nil
	}
	full, err := filepath.Abs(word)
	if strings.Contains(word, "/") && err == nil && slices.ContainsFunc(p.Files, func(f spindle.File) bool { return f.Path == full && f.Type != spindle.TypeDir }) {
		return word, nil
	}
	file, err := spindle.Find(word)
	if err != nil {
		return "", &exit.Error{Err: fmt.Errorf("%s: neither the program of the plan, which is %s, nor one of this machine", word, p.Program), Status: exit.Status(err)}
	}
	if strings.Contains(word, "/") {
		return word, nil
	}
	return file, nil
}
