package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/spf13/cobra"
)

func checkCommand(f *flags) *cobra.Command {
	var ask bool
	c := &cobra.Command{
		Use: "check POLICY.star...", Short: "find faults without running anything",
		Long: "check resolves the load graph, compiles every file, and checks the arguments of every call and the names that it uses against the site. Unless --ask=false, it also tries, changing nothing, what the night will need: every target with its free space, where one that the site describes wrongly is a fault; of a Proxmox VE the token and its rights guest by guest, the storage with its space and limits, and the way to the archives; of other systems the login or the secret; of every host whether a rescue image of it would erase guests that are proven nowhere else. All faults are told at once.",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: policies,
		RunE: func(c *cobra.Command, args []string) error { return f.check(c.Context(), args, ask) },
	}
	c.Flags().BoolVar(&ask, "ask", true, "ask targets for their free space, and hosts for their disks (dials them, reads only)")
	return c
}

type checked struct {
	Policy string   `json:"policy"`
	Files  int      `json:"files"`
	Code   string   `json:"code"`
	Faults []string `json:"faults,omitempty"`
	Notes  []string `json:"notes,omitempty"`

	program *runtime.Program
}

func (f *flags) check(ctx context.Context, policies []string, ask bool) (err error) {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(policies[0]); err != nil {
		return err
	}
	var all []*checked
	code := exitRefused
	for _, path := range policies {
		c := &checked{Policy: path}
		all = append(all, c)
		if c.program, err = f.runtime().Load(path, nil); err != nil {
			c.Faults = []string{message(err)}
			if limit := codeOf(err); limit == exitLimit {
				code = limit
			}
			continue
		}
		c.Files, c.Code = len(c.program.Graph.Modules), c.program.Graph.Digest()
		for _, d := range c.program.Check(s.site.Names()) {
			c.Faults = append(c.Faults, d.String())
		}
		if _, saved := s.site.Demands.Asset(builtins.KindsOfSystems["keyring"]); saved && c.program.CallsWithout("seal_secrets", "recipients",
			"threshold") {
			c.refusal("seal_secrets()", builtins.ForeseeSecrets(s.site))
		}
		c.Notes = append(c.Notes, c.program.Lacks(s.site.Names())...)
	}
	var a asked
	if ask {
		if a, err = s.ask(ctx, all); err != nil {
			return err
		}
	}
	if err := f.printCheck(all, a, s.site.Expired(time.Now())); err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(c *checked) bool { return len(c.Faults) > 0 }) || slices.ContainsFunc(a.targets, builtins.Fullness.Refused) ||
		slices.ContainsFunc(a.systems, func(n builtins.NightFault) bool { return !n.Note }) {
		return &exit{code, nil}
	}
	return nil
}

// refusal notes that a call would be refused.
func (c *checked) refusal(call string, err error) {
	if err != nil {
		c.Faults = append(c.Faults, call+" is refused: "+err.Error())
	}
}

// asked is what systems and targets answered.
type asked struct {
	targets []builtins.Fullness
	systems []builtins.NightFault
}

// ask dials targets and hosts, and reads. Without a ledger nothing is proven yet.
func (s *session) ask(ctx context.Context, all []*checked) (a asked, err error) {
	catalog, err := s.known(ctx)
	if err != nil {
		return a, err
	}
	needs := builtins.NightNeeds{FilesAsset: builtins.FilesAsset}
	images := sync.OnceValue(func() []builtins.Foreseen { return builtins.ForeseeImages(ctx, s.world, catalog) })
	for _, c := range all {
		if c.program == nil {
			continue
		}
		needs.Guests = needs.Guests || c.program.Calls("snapshot_vm") || c.program.Calls("guests")
		needs.Firewall = needs.Firewall || c.program.Calls("export_firewall")
		needs.Zones = needs.Zones || c.program.Calls("export_dns")
		needs.Images = needs.Images || c.program.Calls("rear_host")
		needs.Logs = needs.Logs || c.program.Calls("ship_logs")
		needs.Files = needs.Files || c.program.Calls("save_files")
		needs.Restores = needs.Restores || c.program.Calls("restore_vm")
		needs.Paths = append(needs.Paths, c.program.Paths("save_files")...)
		if _, saved := s.site.Demands.Asset(builtins.KindsOfSystems["host"]); !saved || !c.program.Calls("rear_host") {
			continue
		}
		for _, i := range images() {
			c.foresee(i)
		}
	}
	a.systems = builtins.ForeseeNight(ctx, s.world, catalog, needs)
	a.targets = builtins.DaysUntilFull(ctx, s.world, s.ledger, time.Now())
	return a, nil
}

// known opens what systems are asked through, and what the ledger knows of them: nothing,
// where there is none yet.
func (s *session) known(ctx context.Context) (ledger.Catalog, error) {
	catalog := ledger.Catalog{Store: ledger.NewMemory()}
	if _, err := os.Stat(s.ledgerPath()); err == nil {
		if err := s.openLedger(ctx, false); err != nil {
			return catalog, err
		}
		catalog.Store = s.ledger
	} else if !errors.Is(err, fs.ErrNotExist) {
		return catalog, err
	}
	return catalog, s.openWorld(ctx)
}

// foresee refuses a policy whose image would be refused. One that copies guests
// itself may be about to prove them: then it is a note.
func (c *checked) foresee(i builtins.Foreseen) {
	text := i.Error
	if i.Hint != "" {
		text += "\nhint: " + i.Hint
	}
	switch {
	case i.Error == "":
	case !i.Refused:
		c.Notes = append(c.Notes, fmt.Sprintf("what a recovery of host %s would erase was not weighed: %s", i.Host, text))
	case c.program.Calls("snapshot_vm"):
		c.Notes = append(c.Notes, fmt.Sprintf("rear_host(host = %q) is refused as things are, unless this policy proves the guests first: %s", i.Host, text))
	default:
		c.Faults = append(c.Faults, fmt.Sprintf("rear_host(host = %q) is refused: %s", i.Host, text))
	}
}

func (f *flags) printCheck(all []*checked, a asked, expired []string) error {
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"policies": all, "targets": a.targets, "systems": a.systems, "expired": expired, "lab": f.lab})
	}
	lab := labMark(f.lab)
	for _, c := range all {
		if len(c.Faults) == 0 {
			fmt.Printf("%sok    %s: %d files, code %.12s\n", lab, c.Policy, c.Files, c.Code)
		} else {
			fmt.Printf("%sFAULT %s\n", lab, c.Policy)
		}
		for _, t := range c.Faults {
			fmt.Printf("%s\n", t)
		}
		for _, t := range c.Notes {
			fmt.Printf("%snote  %s\n", lab, t)
		}
	}
	f.printAsked(expired, a)
	return nil
}

// printAsked says what systems and targets answered.
func (f *flags) printAsked(expired []string, a asked) {
	lab := labMark(f.lab)
	for _, e := range expired {
		fmt.Printf("%snote  %s: renew it in site.star, or act on it\n", lab, e)
	}
	for _, n := range a.systems {
		f.printFault(n)
	}
	for _, t := range a.targets {
		if !t.Refused() {
			fmt.Printf("%sspace %s\n", lab, t.Text())
			continue
		}
		fmt.Printf("%sFAULT target %s\n", lab, t.Text())
		if t.Hint != "" {
			fmt.Printf("hint: %s\n", t.Hint)
		}
	}
}

func (f *flags) printFault(n builtins.NightFault) {
	word := "FAULT"
	if n.Note {
		word = "note "
	}
	fmt.Printf("%s%s %s: %s\n", labMark(f.lab), word, n.System, strings.TrimPrefix(n.Text, n.System+": "))
	if n.Hint != "" {
		fmt.Printf("hint: %s\n", n.Hint)
	}
}
