package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/pack"
)

func newSpindlePack() *cobra.Command {
	var f planFlags
	var p pushFlags
	var bundle []string
	var to string
	cmd := &cobra.Command{
		Use:   "pack [flags] CMD --push REF",
		Short: "Push a program with all that its launch needs as an artifact",
		Long: `Push the plan of CMD, and with it the program, the libraries that it is found
elsewhere than in the system's directories, the directories that are searched,
and with --trace every file that the recorded run read. Where the same CMD is
launched with --ref, nothing of that is read from its own place. What is pushed
already is not pushed again: contents are layers that depend on nothing else.

What the loader finds by its cache or in its system directories each node is to
have, and its /etc, /proc and the like are its own.

Exit status: 0 done; 2 usage; 3 CMD is not there; 4 registry, network or
authorisation; 5 invalid content; 6 CMD cannot be launched so, and why, or this
host cannot do it (a full disk, no permission).`,
		Example: `  compat spindle pack lmp --push registry.example/lammps:launch
  compat spindle pack --trace run.jsonl.zst python3 --push registry.example/py:launch`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return exit.UsageError(cmd.CommandPath(), "--push REF is missing: where to push it")
			}
			if err := p.output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			f.refs.remoteFlags = p.remoteFlags
			plan, err := f.carry(cmd, args[0], bundle)
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "compat-pack-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			layers, err := packInto(cmd.Context(), plan, dir)
			if err != nil {
				return err
			}
			return p.pushFiles(cmd, to, layers)
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&bundle, "bundle", nil, "libraries below `DIR` travel although each node's system has them found; repeatable")
	cmd.Flags().StringVar(&to, "push", "", "where to: `REF`")
	p.add(cmd.Flags())
	return cmd
}

// carry makes the plan with the files that travel.
func (f *planFlags) carry(cmd *cobra.Command, name string, bundle []string) (*spindle.Plan, error) {
	req, rec, err := f.request(cmd, name)
	if err != nil {
		return nil, err
	}
	digests, closeDigests := local.Digests(false)
	defer closeDigests()
	return spindle.Carry(req, spindle.CarryOptions{Bundle: bundle, Recorded: rec, Digests: digests})
}

// packInto writes the layers of a plan, itself the first, which then names them.
func packInto(ctx context.Context, plan *spindle.Plan, dir string) ([]remote.FileLayer, error) {
	paths := map[string]string{}
	for _, f := range plan.Files {
		if f.Type == spindle.TypeFile {
			paths[f.Digest] = f.Path
		}
	}
	packed, err := pack.Pack(ctx, plan, func(digest string) (io.ReadCloser, error) { return os.Open(paths[digest]) }, dir)
	if err != nil {
		return nil, err
	}
	data, err := spindle.Encode(plan)
	if err != nil {
		return nil, err
	}
	layers := []remote.FileLayer{{Data: data, MediaType: artifact.MediaTypeLaunch, Title: "launch.json", Digest: artifact.Digest(data), Size: int64(len(data))}}
	for _, l := range packed {
		layers = append(layers, remote.FileLayer{Path: l.Path, MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	}
	return layers, nil
}

// pushFiles pushes the layers as a launch artifact.
func (f *pushFlags) pushFiles(cmd *cobra.Command, ref string, layers []remote.FileLayer) error {
	var err error
	if f.push.Annotations, err = f.readAnnotations(cmd.CommandPath(), layers[0].Title); err != nil {
		return err
	}
	o, done, err := f.open(cmd)
	if err != nil {
		return err
	}
	artifactType := artifact.TypeLaunch
	if f.artifactType != "" {
		artifactType = f.artifactType
	}
	pushed, err := remote.PushFiles(cmd.Context(), o, ref, artifactType, layers, f.push)
	done()
	if err != nil {
		return err
	}
	if err := f.export(pushed); err != nil {
		return err
	}
	return f.output.Render(cmd.OutOrStdout(), pushed, func(w io.Writer) error { return writePushed(w, pushed) })
}
