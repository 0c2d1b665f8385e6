package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/systems"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/spf13/cobra"
)

func labCommand(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use: "lab", Short: "start the lab's servers and show how to talk to them; until interrupted", Args: cobra.NoArgs,
		Long: "The lab is a small company on one Proxmox VE node: every system speaks its real wire protocol. --lab makes any verb work on " +
			"it, in a state folder of its own, where it goes on from call to call.",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			f.lab = true
			s, err := f.session()
			if err != nil {
				return err
			}
			defer s.done(&err)
			if err := s.openLabWorld(c.Context()); err != nil {
				return err
			}
			addrs, err := s.lab.Serve(c.Context())
			if err != nil {
				return err
			}
			return s.explainLab(c.Context(), addrs)
		},
	}
	c.AddCommand(
		f.onWorld("detach NAME", "take a medium away: offline-a, offline-b", 1,
			func(w *lab.World, args []string) error { return w.Detach(args[0]) }),
		f.onWorld("attach NAME", "bring a medium back", 1, func(w *lab.World, args []string) error { return w.Attach(args[0]) }),
		f.onWorld("plug NAME", "plug a medium in without opening it", 1, func(w *lab.World, args []string) error { return w.Plug(args[0]) }),
		f.onWorld("blank NAME", "plug a new disk in, on which nothing is", 1, func(w *lab.World, args []string) error {
			path, err := w.PlugBlank(args[0], "LABNEW"+strings.ToUpper(strings.ReplaceAll(args[0], "-", "")), 64<<30)
			if err == nil {
				fmt.Println(path)
			}
			return err
		}),
		f.onWorld("clone NAME", "plug a clone of a medium in: the same file system on another disk", 1,
			func(w *lab.World, args []string) error { return w.Clone(args[0]) }),
		f.onWorld("vzdump VMID...", "run a backup job of Proxmox's own, which knows nothing of runner", -1, labVzdump),
		f.labFault(),
		&cobra.Command{Use: "identity", Short: "print the recovery identity of the lab (a true one lies in a safe)", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { fmt.Println(lab.RecoveryIdentity); return nil }},
		f.onWorld("onedrive WHAT", "consent: type the code of runner cloud login into a browser; revoke: end all logins; "+
			"retire: end pre-authenticated URLs, as on 2027-04-01", 1, labOneDrive),
		&cobra.Command{Use: "login", Short: "print the login of the lab's OneDrive, for runner recover --login", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { fmt.Printf("%s\n", lab.Secrets()["onedrive"]); return nil }},
		labSite())
	return c
}

func labVzdump(w *lab.World, args []string) error {
	var ids []int
	for _, a := range args {
		id, err := strconv.Atoi(a)
		if err != nil {
			return usage("%q is no VMID", a)
		}
		ids = append(ids, id)
	}
	return w.BackUp(context.Background(), "backup", ids...)
}

func labOneDrive(w *lab.World, args []string) error {
	switch args[0] {
	case "consent":
		return w.OneDrive().Allow()
	case "revoke":
		return w.OneDrive().Revoke()
	case "retire":
		return w.OneDrive().Retire(true)
	}
	return usage("%q: want consent, revoke or retire", args[0])
}

func labSite() *cobra.Command {
	onedrive := false
	c := &cobra.Command{Use: "site", Short: "print the site.star of the lab", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text := lab.Site
			if onedrive {
				text = lab.SiteWithOneDrive()
			}
			_, err := os.Stdout.Write(text)
			return err
		}}
	c.Flags().BoolVar(&onedrive, "onedrive", false, "with OneDrive as its offsite target")
	return c
}

func (f *flags) labFault() *cobra.Command {
	var list bool
	inject := f.onWorld("fault [ON DO]...",
		"let these things fail from now on, and no others; --list shows all that can; without arguments: nothing", -1, func(w *lab.World,
			args []string) error {
			var all []lab.Fault
			for pair := range slices.Chunk(args, 2) {
				if len(pair) < 2 {
					return usage("lab fault takes pairs of arguments, or none\nhint: runner lab fault --list")
				}
				all = append(all, lab.Fault{On: pair[0], Do: pair[1]})
			}
			if err := w.Inject(all...); err != nil {
				return usage("%v\nhint: runner lab fault --list", err)
			}
			return nil
		})
	inject.Example = "  runner lab fault 'vzdump 101' 'fail disk error'\n  runner lab fault 'storage backup' full 'sftp offsite.lab put' " +
		"'cut 4096'"
	run := inject.RunE
	inject.RunE = func(c *cobra.Command, args []string) error {
		if !list {
			return run(c, args)
		}
		fmt.Println("In ON, * is any run of characters; D is a duration such as 2s.")
		for _, p := range lab.FaultPlaces() {
			fmt.Printf("\n%s: %s\n", p.On, p.Doc)
			for _, d := range p.Deeds {
				fmt.Printf("  %-28s %s\n", d.Do, d.Doc)
			}
		}
		return nil
	}
	inject.Flags().BoolVar(&list, "list", false, "show all places and deeds")
	return inject
}

// onWorld is a verb that changes the lab's world.
func (f *flags) onWorld(use, short string, n int, fn func(*lab.World, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, RunE: func(c *cobra.Command, args []string) (err error) {
		if n >= 0 && len(args) != n {
			return usage("%s takes %d argument", c.CommandPath(), n)
		}
		f.lab = true
		s, err := f.session()
		if err != nil {
			return err
		}
		defer s.done(&err)
		if err := s.openLabWorld(c.Context()); err != nil {
			return err
		}
		return fn(s.lab, args)
	}}
}

func (s *session) explainLab(ctx context.Context, addrs map[string]string) error {
	fmt.Printf("LAB world in %s\n", filepath.Join(s.state, "world"))
	var names []string
	for n := range addrs {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Printf("LAB %-18s %s\n", n, addrs[n])
	}
	api := addrs[lab.ProxmoxAddr]
	fmt.Printf("LAB curl -k -H 'Authorization: PVEAPIToken=%s=%s' https://%s/api2/json/version\n", lab.TokenID, lab.Secrets()["pve-token"],
		api)
	fmt.Printf("LAB offline-a lies in %s; what is on it: runner recover --lab --from /media/offline-a%s\n",
		filepath.Join(s.lab.Root(), "media/offline-a"), prefixed(" ", s.flags.typed()))
	fmt.Println("LAB its key (a true one lies in a safe): runner lab identity > key.txt, then --identity key.txt")
	fmt.Println("LAB other runners with the same --state use these servers; stop with Ctrl-C")
	<-ctx.Done()
	return nil
}

func (s *session) openLabWorld(ctx context.Context) error {
	w, err := lab.Open(ctx, filepath.Join(s.state, "world"))
	if err != nil {
		return fmt.Errorf("open the lab: %w", err)
	}
	s.lab = w
	s.close = append(s.close, w.Close)
	return nil
}

// openLab puts the lab in the place of the outside.
func (s *session) openLab(ctx context.Context) error {
	if err := s.openLabWorld(ctx); err != nil {
		return err
	}
	k, err := s.labRing()
	if err != nil {
		return err
	}
	s.world = systems.New(s.site, systems.Env{Root: s.lab.Root(), Dial: s.lab.Dial, Roots: lab.Roots(), Device: s.lab.Device,
		Program: s.lab.Program, Keyring: k,
		Binary:  staticBinary,
		Version: version, Host: hostName(), Spool: filepath.Join(s.state, "spool")})
	s.close = append(s.close, s.world.Close)
	return nil
}

// labRing is a true keyring of the file backend, filled when it is new.
func (s *session) labRing() (*builtins.Keyring, error) {
	dir := filepath.Join(s.state, "keyring")
	k := builtins.NewKeyring(builtins.KeyringConfig{Backend: "file", Dir: dir, Password: func() (string, error) { return "lab", nil }})
	if _, err := os.Stat(filepath.Join(dir, "offsite-ssh-key")); !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	secrets := lab.Secrets()
	for _, name := range []string{"pve-token", "node-ssh-key", "cloudflare-token", "unifi-password", "onedrive", "offsite-ssh-key",
		"media/offline-a", "media/offline-b"} {
		if err := k.Set(name, secrets[name]); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (f *flags) labKeyring(s *session, fn func(*builtins.Keyring) error) error {
	k, err := s.labRing()
	if err != nil {
		return err
	}
	return fn(k)
}
