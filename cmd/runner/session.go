package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/stdlib"
	"github.com/spf13/pflag"
)

// flags are those that every verb takes.
type flags struct {
	site, state string
	lab, json   bool
	verbose     bool
	color       string
	limits      runtime.Limits
}

func (f *flags) add(set *pflag.FlagSet) {
	set.StringVar(&f.site, "site", "", "site.star to use; default: beside the policy, then /etc/runner/site.star")
	set.StringVar(&f.state, "state", "", "folder of the ledger; default: $STATE_DIRECTORY, /var/lib/runner as root, else below "+
		"$XDG_STATE_HOME")
	set.BoolVar(&f.lab, "lab", false, "use the built-in site: nothing real is touched")
	set.BoolVar(&f.json, "json", false, "write JSON to standard output")
	set.BoolVarP(&f.verbose, "verbose", "v", false, "show everything: steps, digests, each copy")
	set.StringVar(&f.color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	set.Uint64Var(&f.limits.Steps, "max-steps", 0, "instructions of one thread of a policy (default 100000000)")
	set.DurationVar(&f.limits.Wall, "max-time", 0, "running time of a run (default 20h)")
	set.Uint64Var(&f.limits.Heap, "max-heap", 0, "heap in bytes, beyond what it takes to start (default 512 MiB)")
	set.IntVar(&f.limits.Range, "max-range", 0, "length of a range or repetition (default 1000000)")
	set.IntVar(&f.limits.Parallel, "max-parallel", 0, "branches that run at once (default 16)")
	for _, n := range []string{"max-steps", "max-heap", "max-range", "max-parallel", "color"} {
		if err := set.MarkHidden(n); err != nil {
			panic(err)
		}
	}
}

// typed are the flags of this invocation that a command needs to mean the same site and
// state.
func (f *flags) typed() string {
	var out []string
	for _, x := range []struct{ name, value string }{{"--state", f.state}, {"--site", f.site}} {
		if x.value != "" {
			out = append(out, x.name, builtins.Quote(x.value))
		}
	}
	return strings.Join(out, " ")
}

func (f *flags) runtime() *runtime.Runtime {
	return &runtime.Runtime{Primitives: builtins.All(), Stdlib: stdlib.Files, Limits: f.limits}
}

// stateDir is where the ledger of this invocation lies.
func (f *flags) stateDir() (string, error) {
	name := "runner"
	if f.lab {
		name = "runner-lab"
	}
	switch {
	case f.state != "":
		return filepath.Abs(f.state)
	case os.Getenv("STATE_DIRECTORY") != "" && !f.lab:
		return strings.Split(os.Getenv("STATE_DIRECTORY"), ":")[0], nil
	case os.Geteuid() == 0:
		return "/var/lib/" + name, nil
	case os.Getenv("XDG_STATE_HOME") != "":
		return filepath.Join(os.Getenv("XDG_STATE_HOME"), name), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the state folder: %w\nhint: name one with --state", err)
	}
	return filepath.Join(home, ".local", "state", name), nil
}

// session is what a verb works with; it opens only what the verb asks for.
type session struct {
	*flags
	state  string
	ledger *ledger.Ledger
	site   *site.Site
	world  *systems.Systems
	lab    *lab.World
	close  []func() error
}

func (f *flags) session() (*session, error) {
	state, err := f.stateDir()
	return &session{flags: f, state: state}, err
}

// done closes what was opened, the last first, and joins errors.
func (s *session) done(err *error) {
	for i := len(s.close) - 1; i >= 0; i-- {
		if cerr := s.close[i](); cerr != nil && *err == nil {
			*err = cerr
		}
	}
}

func (s *session) ledgerPath() string { return filepath.Join(s.state, "ledger.db") }

// openLedger opens the ledger. Without create, a missing one is an error that
// says what to do.
func (s *session) openLedger(ctx context.Context, create bool) error {
	store, err := ledger.OpenSQLite(ctx, s.ledgerPath(), create)
	if errors.Is(err, fs.ErrNotExist) {
		return &exit{exitFailed, fmt.Errorf("nothing is recorded in %s\nhint: runner exec POLICY.star makes the first record; another folder "+
			"is named with --state", s.state)}
	}
	if err != nil {
		return err
	}
	s.ledger = ledger.New(store)
	s.close = append(s.close, s.ledger.Close)
	return s.sameKind(ctx)
}

// sameKind keeps runs of the lab and real ones in ledgers of their own.
func (s *session) sameKind(ctx context.Context) error {
	var h ledger.Run
	found, err := ledger.One(ctx, s.ledger, ledger.Query{Kind: ledger.RowRun}, &h)
	switch {
	case err != nil || !found || h.Lab == s.flags.lab:
		return err
	case s.flags.lab:
		return &exit{exitRefused, fmt.Errorf("%s holds real runs: --lab will not touch it\nhint: name another folder with --state, or none",
			s.state)}
	}
	return &exit{exitRefused, fmt.Errorf("%s holds runs of the lab, which protect nothing\nhint: add --lab, or name another folder with "+
		"--state", s.state)}
}

// openSite finds and evaluates site.star. policy may be empty.
func (s *session) openSite(policy string) error {
	path, text, err := s.siteText(policy)
	if err != nil {
		return err
	}
	s.site, err = site.Load(path, text, s.limits)
	return err
}

func (s *session) siteText(policy string) (string, []byte, error) {
	if s.flags.lab && s.flags.site == "" {
		return "lab/site.star", lab.Site, nil
	}
	tried := []string{s.flags.site}
	if s.flags.site == "" {
		tried = nil
		if policy != "" {
			tried = append(tried, filepath.Join(filepath.Dir(policy), "site.star"))
		}
		tried = append(tried, "/etc/runner/site.star")
	}
	for _, p := range tried {
		text, err := os.ReadFile(p)
		if err == nil {
			return p, text, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || s.flags.site != "" {
			return "", nil, usage("read site %s: %v", p, err)
		}
	}
	if p := s.siteOfNewestRun(); p != "" && policy == "" {
		if text, err := os.ReadFile(p); err == nil {
			return p, text, nil
		}
		tried = append(tried, p+" (of the newest run)")
	}
	return "", nil, usage("there is no site: looked for %s\nhint: runner init writes a first one from what this machine has, or try --lab, "+
		"the built-in site that protects nothing real", strings.Join(tried, " and "))
}

// siteOfNewestRun is the site that exec found last; "" where nothing has run.
func (s *session) siteOfNewestRun() string {
	ctx := context.Background()
	store, err := ledger.OpenSQLite(ctx, s.ledgerPath(), false)
	if err != nil {
		return ""
	}
	defer store.Close()
	found := ""
	_ = ledger.Catalog{Store: store}.Rows(ctx, ledger.Query{Kind: ledger.RowRun}, func(r ledger.Row) error {
		var h ledger.Run
		if json.Unmarshal(r.Body, &h) == nil && filepath.IsAbs(h.SitePath) {
			found = h.SitePath
		}
		return nil
	}) // what cannot be read is said by whoever opens the ledger next
	return found
}

// openWorld joins the site with the outside, or with the lab.
func (s *session) openWorld(ctx context.Context) error {
	if s.flags.lab {
		return s.openLab(ctx)
	}
	s.world = systems.New(s.site, systems.Env{
		Device: builtins.SystemDevice, Keyring: s.keyring(ctx), Binary: staticBinary, Version: version, Host: hostName(),
		Spool: filepath.Join(s.state, "spool"),
	})
	s.close = append(s.close, s.world.Close)
	return nil
}

func (s *session) keyring(ctx context.Context) *builtins.Keyring {
	k := builtins.KeyringConfig{Backend: "file", Dir: filepath.Join(s.state, "keyring")}
	if s.site != nil {
		if s.site.Keyring.Backend != "" {
			k.Backend = s.site.Keyring.Backend
		}
		if s.site.Keyring.Dir != "" {
			k.Dir = s.site.Keyring.Dir
		}
		k.Credential, k.PassFile = s.site.Keyring.Credential, s.site.Keyring.PassFile
	}
	if interactive() {
		k.Password = func() (string, error) {
			pw, err := askSecret(ctx, "password of the keyring in "+k.Dir+": ")
			return string(pw), err
		}
	}
	return builtins.NewKeyring(k)
}

// header says who runs, and with what.
func (s *session) header(now time.Time) ledger.Run {
	h := ledger.Run{ID: runtime.NewID(now, unique()), Version: version, PID: os.Getpid(), Operator: operator(), Lab: s.flags.lab}
	h.Host = hostName()
	if raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		h.Boot = strings.TrimSpace(string(raw))
	}
	if s.site != nil {
		h.Site, h.SitePath = s.site.Digest, s.site.Path
		if abs, err := filepath.Abs(s.site.Path); err == nil && !s.flags.lab {
			h.SitePath = abs // status may be typed elsewhere
		}
	}
	h.Binary = buildID()
	return h
}

// hostName is "" where the system does not tell it.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func operator() ledger.Operator {
	o := ledger.Operator{UID: os.Getuid(), Sudo: os.Getenv("SUDO_USER")}
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	if raw, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for _, part := range strings.Split(strings.TrimSpace(string(raw)), "/") {
			if strings.HasSuffix(part, ".service") {
				o.Unit = part
			}
		}
	}
	return o
}

// withWorld opens the site, the ledger (which it makes where create says so) and the
// systems for a verb, and closes them after it.
func (f *flags) withWorld(ctx context.Context, create bool, fn func(*session) error) (err error) {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(""); err != nil {
		return err
	}
	if err := s.openLedger(ctx, create); err != nil {
		return err
	}
	if err := s.openWorld(ctx); err != nil {
		return err
	}
	return fn(s)
}
