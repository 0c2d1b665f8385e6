package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/systems"

	"github.com/neosofia/runner/builtins"
	bundled "github.com/neosofia/runner/policies"
	"github.com/neosofia/runner/runtime"
	"github.com/spf13/cobra"
)

// wanted is what an operator asks of a restore.
type wanted struct {
	vmid              int64
	storage, from, at string
}

func restoreCommand(f *flags) *cobra.Command {
	var w wanted
	c := &cobra.Command{
		Use: "restore GUEST", Short: "bring a guest back beside what is there, with its network down", Args: oneArg("GUEST"),
		Long: "restore runs the policy restore.star: that beside site.star, else runner's own. " +
			"The newest proven copy is read back first, and the next one is taken when it is damaged. " +
			"The guest comes back under a VMID that is free, with every network interface disconnected; nothing is overwritten. " +
			"Without a record, or without the node: runner recover.",
		Example: "  runner restore erp\n  runner restore erp --vmid 9100 --storage local --from offsite --at 2026-11-27",
		RunE:    func(c *cobra.Command, args []string) error { return f.restore(c.Context(), args[0], w) },
	}
	c.Flags().Int64Var(&w.vmid, "vmid", 0, "VMID for the guest; default: the next free one")
	c.Flags().StringVar(&w.storage, "storage", "", "Proxmox storage that receives the disks; default: the only one that takes disks")
	c.Flags().StringVar(&w.from, "from", "", "take this target's copy only")
	c.Flags().StringVar(&w.at, "at", "", "the newest copy that is not younger: 2026-11-27T12:00:00Z, or a day, which is its first moment")
	offer(c, "from", f.targets)
	return c
}

func (f *flags) restore(ctx context.Context, guest string, w wanted) error {
	if w.at != "" {
		_, day := time.Parse(time.DateOnly, w.at)
		_, moment := time.Parse(time.RFC3339, w.at)
		if day != nil && moment != nil {
			return usage("--at %s: want a day, 2026-11-27, or a time, 2026-11-27T12:00:00Z", w.at)
		}
	}
	policy, err := f.restorePolicy()
	if err != nil {
		return err
	}
	return f.start(ctx, policy, func(ctx context.Context, cfg runtime.Config) (*runtime.Outcome, error) {
		cfg.Args = map[string]string{"guest": guest}
		if err := w.place(ctx, cfg); err != nil {
			return nil, err
		}
		for name, value := range map[string]string{"vmid": fmt.Sprint(w.vmid), "storage": w.storage, "from_target": w.from, "at": w.at} {
			if value != "" {
				cfg.Args[name] = value
			}
		}
		if err := fits(cfg.Program, cfg.Args); err != nil {
			return nil, err
		}
		return runtime.Exec(ctx, cfg)
	})
}

// place chooses what was not said, before the run begins: it is an argument then, and a
// run that dies is taken up under the same VMID.
func (w *wanted) place(ctx context.Context, cfg runtime.Config) error {
	if w.vmid != 0 && w.storage != "" {
		return nil
	}
	world, ok := cfg.World.(*systems.Systems)
	if !ok {
		return errors.New("there is no site to restore to")
	}
	vmid, storages, err := builtins.RestorePlace(ctx, world, "")
	switch {
	case err != nil:
		return err
	case w.storage == "" && len(storages) != 1:
		return usage("name the storage for the disks with --storage: %s", strings.Join(storages, ", "))
	}
	if w.vmid == 0 {
		w.vmid = vmid
	}
	if w.storage == "" {
		w.storage = storages[0]
	}
	return nil
}

// restorePolicy is the site's own restore.star, or runner's, which is written into the
// state folder: a run is taken up from the file that it began with.
func (f *flags) restorePolicy() (string, error) {
	s, err := f.session()
	if err != nil {
		return "", err
	}
	site, _, err := s.siteText("")
	if err != nil {
		return "", err
	}
	own := filepath.Join(filepath.Dir(site), "restore.star")
	if _, err := os.Stat(own); err == nil {
		return own, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	text, err := fs.ReadFile(bundled.Files, "restore.star")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.state, 0o700); err != nil {
		return "", fmt.Errorf("make the state folder: %w", err)
	}
	path := filepath.Join(s.state, "restore.star")
	return path, os.WriteFile(path, text, 0o600)
}
